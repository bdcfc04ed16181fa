// Prediction: one's own disc does at once what one steers, although the server decides where it is.
//
// Without it a key would be pressed, travel to the server, be played there, travel back in a snapshot, and only then
// move the disc: as late as the network is slow. So the page does what the server will do, with the same physics
// (physics.js), and shows that.
//
// Each tick of the page is one input, which has a number. It is sent, played here, and kept. A snapshot says which
// number is the last that is in it. What follows is one rule: begin with the snapshot, which is the truth, and play
// again all inputs that it does not have yet. If nothing was in between that the page could not know, the result is what
// it has shown anyway. If it is not - somebody has steered into us - the difference is not jumped over but melts away
// within a few frames.
//
// The others are played along, as if they went on steering as they did in the snapshot: so one bounces off them at once.
import { PLACES, body, move } from "./physics.js";
import { newer } from "./wire.js";

const KEPT = 100; // inputs: five seconds without a snapshot is no game
const MELT = 90; // ms until a third of a correction is left
const JUMP = 170; // units: what is further off than this was no small error, and is not smoothed

const copy = (bodies) => bodies.map((b) => ({ ...b }));

export class Prediction {
  me = -1;
  seq = 0; // of the last input
  pending = []; // {seq, ax, ay, dash}, not in a snapshot yet
  error = 0; // how far off one's own disc was of late, for people who want to know

  #before; // all bodies at the last tick, and
  #after; // at the one that is under way
  #steering = []; // how each disc was steered in the last snapshot
  #off; // what is left of corrections, of each disc

  constructor() {
    this.reset(-1);
  }

  // reset begins anew, at a place. The numbers of inputs begin with 1, as the server keeps none of another session.
  reset(me) {
    this.me = me;
    this.seq = 0;
    this.pending = [];
    this.error = 0;
    this.#before = this.#after = Array.from({ length: PLACES }, body);
    this.#off = this.#before.map(() => ({ x: 0, y: 0 }));
  }

  // tick plays one input, and returns it with its number.
  tick(wanted) {
    this.seq = (this.seq + 1) & 0xffff;
    const mine = { ...wanted, seq: this.seq };
    this.pending.push(mine);
    if (this.pending.length > KEPT) this.pending.shift();
    this.#before = this.#after;
    this.#after = this.#play(this.#before, mine);
    return mine;
  }

  // correct takes a snapshot. alpha is how much of the tick under way has passed, for what was to be seen just now.
  correct(snapshot, alpha) {
    const shown = this.at(alpha);
    const truth = Array.from({ length: PLACES }, body);
    this.#steering = [];
    for (const d of snapshot.discs) {
      Object.assign(truth[d.id], d);
      this.#steering[d.id] = { ax: d.ax, ay: d.ay, dash: false };
      if (d.id === this.me) this.pending = this.pending.filter((input) => newer(input.seq, d.ack));
    }
    const settled = shown.map((b, i) => b.alive && truth[i].alive);
    this.#before = this.#after = truth;
    for (const input of this.pending) {
      this.#before = this.#after;
      this.#after = this.#play(this.#before, input);
    }
    this.#off.forEach((off) => (off.x = off.y = 0));
    const now = this.at(alpha);
    settled.forEach((was, i) => {
      const [dx, dy] = [shown[i].x - now[i].x, shown[i].y - now[i].y];
      const far = Math.hypot(dx, dy);
      if (was && far < JUMP) [this.#off[i].x, this.#off[i].y] = [dx, dy];
      if (i === this.me && was) this.error += (far - this.error) * 0.1;
    });
  }

  // melt lets corrections fade; ms have passed.
  melt(ms) {
    const keep = Math.exp(-ms / MELT);
    for (const off of this.#off) {
      off.x *= keep;
      off.y *= keep;
    }
  }

  // at returns all bodies, as they are when a part (0 to 1) of the tick under way has passed.
  at(alpha) {
    return this.#after.map((to, i) => {
      const from = this.#before[i].alive ? this.#before[i] : to;
      const off = this.#off[i];
      return { ...to, x: from.x + (to.x - from.x) * alpha + off.x, y: from.y + (to.y - from.y) * alpha + off.y };
    });
  }

  #play(bodies, mine) {
    const next = copy(bodies);
    const inputs = [...this.#steering];
    inputs[this.me] = mine;
    move(next, inputs);
    return next;
  }
}
