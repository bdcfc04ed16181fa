// The timeline: the others, a little in the past.
//
// Snapshots come twenty times a second, and not evenly. Screens draw sixty times or more. So the page shows the game as
// it was 100 ms ago: then it nearly always has the snapshot before that moment and the one after it, and draws what lies
// between them. Guessing where the others will be would show them where they never were.
import { TICK } from "./physics.js";

const DELAY = 100; // ms
const KEPT = 30; // snapshots
const WINDOW = 40; // snapshots by which the clock goes: two seconds
const LOST = 300; // ms: who is so late has missed something, and begins anew
const AHEAD = 2; // ticks without a snapshot for which discs slide on
const FAR = 220; // units in a tick: nobody is that fast, so it was put there

const mix = (a, b, t) => a + (b - a) * t;

export class Timeline {
  #snapshots = [];
  #zeros = []; // when tick 0 was on this page's clock, as each of the last snapshots tells it
  #zero; // and as the fastest of them do

  get newest() {
    return this.#snapshots.at(-1);
  }

  clear() {
    this.#snapshots = [];
    this.#zeros = [];
  }

  // add takes a snapshot that has come at a time (ms).
  add(snapshot, now) {
    if (this.newest && snapshot.tick <= this.newest.tick) return;
    const zero = now - snapshot.tick * TICK;
    // The earliest of late says how fast the network can be; the others were only held up. Who is later than that could
    // be has missed something: a server that was busy has lost time for good.
    if (this.#zeros.length > 0 && zero - this.#zero > LOST) this.#zeros = [];
    this.#zeros.push(zero);
    if (this.#zeros.length > WINDOW) this.#zeros.shift();
    const earliest = Math.min(...this.#zeros);
    if (this.#zeros.length === 1) this.#zero = earliest;
    else this.#zero += (earliest - this.#zero) * 0.1; // clocks drift, and nothing should jump for that
    this.#snapshots.push(snapshot);
    if (this.#snapshots.length > KEPT) this.#snapshots.shift();
  }

  // at returns what is to be seen at a time: a snapshot, but between two of them. undefined if there is none yet.
  at(now) {
    const all = this.#snapshots;
    if (all.length === 0) return undefined;
    const tick = Math.min((now - this.#zero - DELAY) / TICK, this.newest.tick + AHEAD);
    let i = all.length - 1;
    while (i > 0 && all[i].tick > tick) i--;
    const [a, b] = [all[i], all[i + 1]];
    if (!b) return slideOn(a, Math.max(0, tick - a.tick));
    return between(a, b, Math.max(0, (tick - a.tick) / (b.tick - a.tick)));
  }
}

function between(a, b, t) {
  const discs = a.discs.map((from) => {
    const to = b.discs.find((d) => d.id === from.id);
    if (!to?.alive || !from.alive || Math.hypot(to.x - from.x, to.y - from.y) > FAR * (b.tick - a.tick)) return from;
    return { ...from, x: mix(from.x, to.x, t), y: mix(from.y, to.y, t), vx: mix(from.vx, to.vx, t), vy: mix(from.vy, to.vy, t) };
  });
  const same = a.phase === b.phase;
  return { ...a, discs, rim: same ? mix(a.rim, b.rim, t) : a.rim, left: same ? mix(a.left, b.left, t) : a.left };
}

function slideOn(a, ticks) {
  const s = (ticks * TICK) / 1000;
  return { ...a, discs: a.discs.map((d) => ({ ...d, x: d.x + d.vx * s, y: d.y + d.vy * s })) };
}
