// What the arena's page calculates, without a browser: that its physics is the server's, that its
// prediction ends where the server ends, and that the past it shows lies between snapshots.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import * as physics from "../arena/page/physics.js";
import { Glide } from "../arena/page/glide.js";
import { Prediction } from "../arena/page/predict.js";
import { Timeline } from "../arena/page/timeline.js";
import { compose } from "../arena/page/view.js";
import { PLAY, input, newer, snapshot } from "../arena/page/wire.js";

const { COARSE, FINE, PLACES, RATE, TICK, body, move } = physics;

const decode = ([alive, x, y, vx, vy, ax, ay, cooldown, heavy, frozen, ghost]) => ({
  alive: alive === 1, x: x / FINE, y: y / FINE, vx: vx / COARSE, vy: vy / COARSE, ax, ay, cooldown, heavy, frozen, ghost,
});
const encode = (b) => [b.alive ? 1 : 0, b.x * FINE, b.y * FINE, b.vx * COARSE, b.vy * COARSE, b.ax, b.ay, b.cooldown, b.heavy, b.frozen, b.ghost].map((n) => n + 0 || 0);

describe("physics", () => {
  // The server's own test plays the same file: sim/physics_test.go.
  test("each disc is where the server has it, to the last digit, after hundreds of ticks", async () => {
    const script = JSON.parse(await readFile(new URL("../arena/sim/testdata/physics.json", import.meta.url)));
    const bodies = script.begin.map(decode);
    let compared = 0;
    script.inputs.forEach((row, i) => {
      move(bodies, row.map(([ax, ay, dash]) => ({ ax, ay, dash: dash === 1 })));
      const state = script.states[i + 1];
      if (!state) return;
      assert.deepEqual(bodies.map(encode), state, `after ${i + 1} ticks`);
      compared++;
    });
    assert.ok(script.inputs.length >= 300 && compared >= 30, `${compared} states of ${script.inputs.length} ticks`);
  });
});

describe("wire", () => {
  test("an input is five bytes", () => {
    assert.deepEqual([...new Uint8Array(input(0x1234, { ax: 127, ay: -127, dash: true }))], [0x34, 0x12, 127, 0x81, 1]);
  });

  test("numbers of inputs begin again", () => {
    for (const [a, b, is] of [[1, 0, true], [0, 1, false], [5, 5, false], [0, 65535, true], [65535, 0, false]]) assert.equal(newer(a, b), is, `${a} after ${b}`);
  });

  test("a snapshot is read as it was written", () => {
    // One disc of a person that is heavy, one that is out for good, and a pick-up.
    const bytes = [1, 4, 3, 2, 1, 1, 0x2c, 0x01, 0x00, 0x3c, 2, 1, 5, 7, 0x34, 0x12, 0x20, 0, 0xe0, 0xff, 0x10, 0, 0xf8, 0xff, 127, 0x81, 9, 60, 2, 0, 255, 3, 0x40, 0, 0x60, 0];
    const s = snapshot(new Uint8Array([0, ...bytes]).subarray(1)); // a view into more bytes, as the client gives it
    assert.deepEqual([s.tick, s.phase, s.left, s.rim, s.size], [0x01020304, PLAY, 300, 480, bytes.length]);
    assert.deepEqual(s.discs[0], { ...body(), id: 5, person: true, ack: 0x1234, back: 0, alive: true, x: 1, y: -1, vx: 1, vy: -0.5, ax: 127, ay: -127, cooldown: 9, heavy: 60 });
    assert.deepEqual(s.discs[1], { ...body(), id: 2, person: false, ack: 0, back: -1 });
    assert.deepEqual(s.pickups, [{ kind: 3, x: 2, y: 3 }]);
    assert.throws(() => snapshot(new Uint8Array(bytes.slice(0, -1))), RangeError);
    assert.throws(() => snapshot(new Uint8Array([...bytes, 0])), RangeError);
    assert.throws(() => snapshot(new Uint8Array([9, ...bytes.slice(1)])), RangeError);
  });
});

describe("glide", () => {
  const at = (x, alive = true) => ({ discs: [{ id: 3, x, y: -x, alive }] });
  const shown = (view) => view.discs.map(({ x, y }) => [Math.round(x), Math.round(y)])[0];

  test("after a time away a disc goes on where it was seen, and is soon where it is", () => {
    const glide = new Glide();
    assert.deepEqual(shown(glide.apply(at(10), 16)), [10, -10]);
    glide.begin(at(10));
    assert.deepEqual(shown(glide.apply(at(10), 16)), [10, -10], "no snapshot has come");
    glide.arrived();
    assert.deepEqual(shown(glide.apply(at(400), 16)), [10, -10]);
    let [before] = shown(glide.apply(at(400), 16));
    for (let i = 0; i < 60; i++) {
      const [x] = shown(glide.apply(at(400), 16));
      assert.ok(x >= before && x - before < 45, `a step from ${before} to ${x}`);
      before = x;
    }
    assert.equal(before, 399);
    assert.deepEqual(shown(glide.apply(at(400), 1e6)), [400, -400]);
  });

  test("who fell, or came back to the platform meanwhile, is where it is", () => {
    const glide = new Glide();
    for (const [then, now] of [[at(10, false), at(400)], [at(10), at(400, false)]]) {
      glide.begin(then);
      glide.arrived();
      assert.deepEqual(shown(glide.apply(now, 16)), [400, -400]);
    }
  });
});

// Server is a room's side of the matter: it plays one input a tick, and says which.
class Server {
  tick = 0;
  ack = 0;
  bodies = Array.from({ length: PLACES }, body);
  inbox = [];
  last = { ax: 0, ay: 0, dash: false };

  put(place, more) {
    Object.assign(this.bodies[place], { alive: true }, more);
  }

  step(others = []) {
    this.tick++;
    const next = this.inbox.shift();
    if (next) {
      this.ack = next.seq;
      this.last = next;
    }
    const inputs = [...others];
    inputs[0] = { ...this.last, dash: Boolean(next?.dash) };
    move(this.bodies, inputs);
    return this.snapshot();
  }

  snapshot() {
    const discs = this.bodies.flatMap((b, id) => (b.alive ? [{ ...b, id, person: id === 0, ack: id === 0 ? this.ack : 0, back: 0 }] : []));
    return { tick: this.tick, phase: PLAY, left: 1100, rim: 480, discs, pickups: [] };
  }
}

// play has a page and a server play with a delay each way, in ticks, and calls look after each
// tick.
function play(delay, ticks, wish, look, others = () => []) {
  const [server, page] = [new Server(), new Prediction()];
  server.put(0, { x: 0, y: 0 });
  server.put(1, { x: 200, y: 0 });
  page.reset(0);
  page.correct(server.snapshot(), 1);
  const [out, back] = [[], []];
  for (let n = 0; n < ticks; n++) {
    out.push(page.tick(wish(n)));
    if (out.length > delay) server.inbox.push(out.shift());
    back.push(server.step(others(n)));
    if (back.length > delay) page.correct(back.shift(), 1);
    look(n, page, server);
    page.melt(TICK);
  }
}

const still = { ax: 0, ay: 0, dash: false };
const circle = (n) => ({ ax: Math.round(127 * Math.cos(n / 9)), ay: Math.round(127 * Math.sin(n / 9)), dash: n % 37 === 5 });

describe("prediction", () => {
  test("what one steers is seen in the same tick, however slow the network is", () => {
    for (const delay of [0, 2, 8]) {
      let first;
      play(delay, 30, (n) => (n < 15 ? still : { ax: 0, ay: 127, dash: false }), (n, page) => {
        if (page.at(1)[0].y > 0) first ??= n;
      });
      assert.equal(first, 15, `with ${delay} ticks each way`);
    }
  });

  test("while nobody else meddles it is never wrong", () => {
    for (const delay of [0, 1, 3, 8]) {
      let worst = 0;
      play(delay, 300, (n) => (n > 20 ? circle(n) : still), (n, page) => (worst = Math.max(worst, page.error)));
      assert.equal(worst, 0, `with ${delay} ticks each way`);
    }
  });

  test("it bounces off others at once, and where it was wrong it comes right", () => {
    // Disc 1 flees and comes back, which the page learns of late.
    const others = (n) => [undefined, { ax: n % 40 < 20 ? 127 : -127, ay: 0, dash: false }];
    let [touched, wrong, end] = [false, 0, undefined];
    play(4, 400, (n) => (n < 200 ? { ax: 127, ay: 0, dash: n % 30 === 0 } : still), (n, page, server) => {
      const [me, other] = page.at(1);
      const gap = Math.hypot(me.x - other.x, me.y - other.y) - 2 * physics.RADIUS;
      touched ||= gap < 1;
      wrong = Math.max(wrong, page.error);
      end = [me, server.bodies[0]];
    }, others);
    assert.ok(touched, "they never met");
    assert.ok(wrong > 0, "nothing was ever wrong, so nothing was tested");
    assert.ok(Math.hypot(end[0].x - end[1].x, end[0].y - end[1].y) < 1, `at the end the page has it at ${end[0].x},${end[0].y}, the server at ${end[1].x},${end[1].y}`);
  });

  test("a correction melts away, and a far one is a jump", () => {
    for (const [off, seen] of [[30, 30], [400, 0]]) {
      const [server, page] = [new Server(), new Prediction()];
      server.put(0, { x: 0, y: 0 });
      page.reset(0);
      page.correct(server.snapshot(), 1);
      page.tick(still);
      server.bodies[0].x = off;
      server.ack = 1;
      page.correct(server.snapshot(), 1);
      assert.equal(off - page.at(1)[0].x, seen, "right after it");
      let last = page.at(1)[0].x;
      for (let n = 0; n < 40; n++) {
        page.melt(16);
        const { x } = page.at(1)[0];
        assert.ok(x >= last, "it goes the wrong way");
        last = x;
      }
      assert.ok(off - last < 1, `after 640 ms ${off - last} are left`);
    }
  });

  test("inputs that no snapshot takes do not gather for ever", () => {
    const page = new Prediction();
    page.reset(0);
    for (let n = 0; n < 1000; n++) page.tick(still);
    assert.ok(page.pending.length <= 5 * RATE);
  });
});

describe("timeline", () => {
  const at = (tick, x, more) => ({ tick, phase: PLAY, left: 1000 - tick, rim: 480 - tick, pickups: [], discs: [{ ...body(), id: 3, alive: true, x, vx: 200, ...more }] });
  const seen = (timeline, now) => timeline.at(now).discs[0].x;

  test("discs are where they were 100 ms ago, between the snapshots of before and after", () => {
    const timeline = new Timeline();
    for (let tick = 100; tick < 110; tick++) timeline.add(at(tick, tick * 10), 5000 + (tick - 100) * TICK);
    assert.equal(seen(timeline, 5000 + 9 * TICK), 1070);
    assert.equal(seen(timeline, 5000 + 9 * TICK + TICK / 2), 1075);
    assert.equal(timeline.at(5000 + 9 * TICK).rim, 373);
  });

  test("it moves evenly although snapshots do not come evenly", () => {
    const timeline = new Timeline();
    const arrivals = Array.from({ length: 200 }, (_, n) => [n * TICK + ((n * 7919) % 60), n]);
    let last;
    for (let now = 0; now < 200 * TICK; now += 10) {
      while (arrivals[0]?.[0] <= now) timeline.add(at(arrivals[0][1], arrivals.shift()[1] * 10), now);
      if (now < 1000) continue;
      const x = seen(timeline, now);
      if (last !== undefined) assert.ok(x - last > 0.5 && x - last < 3.5, `at ${now} ms it moved by ${x - last}, and 2 is even`);
      last = x;
    }
  });

  test("without snapshots discs slide on for a moment, and then stand", () => {
    const timeline = new Timeline();
    timeline.add(at(10, 0), 0);
    assert.ok(Math.abs(seen(timeline, 150) - 10) < 1e-9);
    assert.equal(seen(timeline, 200), 20);
    assert.equal(seen(timeline, 5000), 20);
  });

  test("a server that was busy has lost time, and the timeline follows", () => {
    const timeline = new Timeline();
    for (let tick = 0; tick < 20; tick++) timeline.add(at(tick, tick * 10), tick * TICK);
    for (let tick = 20; tick < 30; tick++) timeline.add(at(tick, tick * 10), tick * TICK + 2000);
    assert.equal(seen(timeline, 29 * TICK + 2000), 270);
  });

  test("who was put elsewhere does not fly there", () => {
    const timeline = new Timeline();
    timeline.add(at(0, -400), 0);
    timeline.add(at(1, 300), TICK);
    assert.equal(seen(timeline, 100 + TICK / 2), -400);
    timeline.add(at(2, 300, { alive: false }), 2 * TICK);
    assert.equal(seen(timeline, 100 + 1.5 * TICK), 300);
  });

  test("what comes twice, or late, changes nothing", () => {
    const timeline = new Timeline();
    timeline.add(at(5, 50), 0);
    timeline.add(at(5, 99), 10);
    timeline.add(at(4, 99), 20);
    assert.equal(timeline.newest.discs[0].x, 50);
  });
});

describe("view", () => {
  const disc = (id, x) => ({ ...body(), id, alive: true, x, back: 0 });
  const past = { tick: 1, phase: PLAY, left: 600, rim: 300, pickups: [], discs: [disc(0, 0), disc(1, 300)] };
  const people = new Map([[0, { name: "Ada", points: 1 }], [1, { name: "Ben", points: 3 }]]);

  test("oneself in the present, the others in the past, and where they meet in one time", () => {
    const present = (x0, x1) => [{ ...body(), alive: true, x: x0 }, { ...body(), alive: true, x: x1 }];
    const far = compose(past, present(20, 340), 0, people);
    assert.deepEqual(far.discs.map((d) => d.x), [20, 300]);
    const near = compose(past, present(250, 320), 0, people);
    assert.deepEqual(near.discs.map((d) => d.x), [250, 320]);
    const without = compose(past, undefined, 0, people);
    assert.deepEqual(without.discs.map((d) => d.x), [0, 300]);
  });

  test("one's own fall is seen at once", () => {
    const view = compose(past, [body(), { ...body(), alive: true, x: 300 }], 0, people);
    assert.deepEqual(view.discs.map((d) => d.alive), [false, true]);
  });

  test("who leads, and how the round stands", () => {
    const view = compose(past, undefined, 0, people);
    assert.deepEqual(view.discs.map((d) => [d.name, d.mine, d.leads]), [["Ada", true, false], ["Ben", false, true]]);
    assert.ok(view.shrinks && !view.sudden && view.rimSoon < view.rim);
    assert.ok(compose({ ...past, left: 300 }, undefined, 0, people).sudden);
  });
});
