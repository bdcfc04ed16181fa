// What flies about: sparks, dust, confetti, rings, words, and the shaking of the stage. None of it is part of the game,
// and little of it is left where people have asked for less motion.
import { radiusOf } from "./physics.js";

const MOST = 400; // particles
const SOFT = 90; // units a second: a softer touch is none
const AGAIN = 0.18; // s, until two discs can spark again

const spread = (n) => (Math.random() - 0.5) * 2 * n;

export class Effects {
  calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  shake = 0; // in CSS pixels
  falling = []; // discs on their way down: {...disc, z, vz, age}
  parts = [];

  #last = new Map(); // of each disc, what was drawn last
  #touched = new Map(); // pairs of discs -> when they may spark again
  #now = 0;
  #on;

  // on.hit(strength, mine) and on.fall(mine) hear of what there is to hear.
  constructor(on) {
    this.#on = on;
    matchMedia("(prefers-reduced-motion: reduce)").addEventListener("change", (event) => (this.calm = event.matches));
  }

  clear() {
    this.falling = [];
    this.parts = [];
    this.#last.clear();
  }

  // step lets s seconds pass, and looks at what has happened between the last view and this one.
  step(view, s) {
    this.#now += s;
    this.shake *= Math.exp(-9 * s);
    for (const p of this.parts) {
      p.age += s;
      p.x += p.vx * s;
      p.y += p.vy * s;
      p.z += p.vz * s;
      p.vz -= p.falls * s;
      p.vx *= Math.exp(-p.drag * s);
      p.vy *= Math.exp(-p.drag * s);
      p.turn += p.spin * s;
    }
    this.parts = this.parts.filter((p) => p.age < p.life).slice(-MOST);
    for (const f of this.falling) {
      f.age += s;
      f.vz -= 1500 * s;
      f.z += f.vz * s;
      f.x += f.vx * s;
      f.y += f.vy * s;
    }
    this.falling = this.falling.filter((f) => f.age < 1.3);
    this.#hits(view);
    for (const d of view.discs) {
      const was = this.#last.get(d.id);
      if (was?.alive && !d.alive && Math.hypot(was.x, was.y) > view.rim - 60) this.#fall(was);
      if (d.alive && was && !was.alive) this.ring(d.x, d.y, d.hue, 90);
      if (d.alive && was && d.cooldown > was.cooldown + 5) this.#dash(d);
      this.#last.set(d.id, d);
    }
    if (view.shrinks && !this.calm && Math.random() < s * 14) this.#crumb(view.rim);
  }

  #hits(view) {
    const alive = view.discs.filter((d) => d.alive && d.ghost === 0);
    for (const [i, a] of alive.entries()) {
      for (const b of alive.slice(i + 1)) {
        const [dx, dy] = [b.x - a.x, b.y - a.y];
        const d = Math.hypot(dx, dy);
        const key = a.id * 16 + b.id;
        if (d > radiusOf(a) + radiusOf(b) + 6 || d === 0 || this.#now < (this.#touched.get(key) ?? 0)) continue;
        const [wasA, wasB] = [this.#last.get(a.id), this.#last.get(b.id)];
        if (!wasA?.alive || !wasB?.alive) continue;
        const speed = ((wasA.vx - wasB.vx) * dx + (wasA.vy - wasB.vy) * dy) / d;
        if (speed < SOFT) continue;
        this.#touched.set(key, this.#now + AGAIN);
        this.#hit(a.x + (dx / d) * radiusOf(a), a.y + (dy / d) * radiusOf(a), Math.min(1, speed / 900), a.mine || b.mine);
      }
    }
  }

  #hit(x, y, strength, mine) {
    this.#on.hit(strength, mine);
    if (mine) this.#jolt(2 + 7 * strength);
    if (this.calm) return;
    for (let n = 0; n < 4 + 14 * strength; n++) {
      const [turn, speed] = [Math.random() * 2 * Math.PI, (150 + 500 * strength) * (0.4 + Math.random())];
      this.#add({ kind: "spark", x, y, z: 16, vx: Math.cos(turn) * speed, vy: Math.sin(turn) * speed, vz: 120 * Math.random(), drag: 5, life: 0.32, size: 2.5 });
    }
    if (strength > 0.45) this.ring(x, y, undefined, 70 * strength);
  }

  #fall(d) {
    this.#on.fall(d.mine);
    this.falling.push({ ...d, z: 0, vz: 130, age: 0 });
    this.#jolt(d.mine ? 12 : 4);
    if (this.calm) return;
    this.ring(d.x, d.y, d.hue, 130);
    for (let n = 0; n < 30; n++) {
      this.#add({ kind: "dot", hue: d.hue, x: d.x + spread(25), y: d.y + spread(25), z: 10, vx: d.vx * 0.4 + spread(220), vy: d.vy * 0.4 + spread(220), vz: 120 + 260 * Math.random(), falls: 900, life: 0.9, size: 3 + 4 * Math.random() });
    }
  }

  #dash(d) {
    if (this.calm) return;
    const long = Math.hypot(d.vx, d.vy) || 1;
    for (let n = 0; n < 10; n++) {
      this.#add({ kind: "dot", x: d.x + spread(16), y: d.y + spread(16), z: 4, vx: (-d.vx / long) * 200 + spread(90), vy: (-d.vy / long) * 200 + spread(90), vz: 40, falls: 160, drag: 4, life: 0.45, size: 4 });
    }
  }

  #crumb(rim) {
    const turn = Math.random() * 2 * Math.PI;
    this.#add({ kind: "crumb", x: Math.cos(turn) * rim, y: Math.sin(turn) * rim, z: -4, vx: Math.cos(turn) * 30, vy: Math.sin(turn) * 30, vz: 30, falls: 900, life: 0.8, size: 3 + 5 * Math.random(), spin: spread(8) });
  }

  ring(x, y, hue, size) {
    this.#add({ kind: "ring", x, y, z: 2, hue, life: 0.5, size });
  }

  // word shows a few letters that rise from a place.
  word(x, y, text, hue) {
    this.#add({ kind: "word", x, y, z: 60, vz: 70, text, hue, life: 1.1, size: 20 });
  }

  blast(x, y) {
    this.ring(x, y, 45, 260);
    this.ring(x, y, 45, 170);
    this.#jolt(8);
  }

  confetti(rim, hue) {
    if (this.calm) return;
    for (let n = 0; n < 150; n++) {
      const hues = hue === undefined ? [10, 60, 150, 220, 300] : [hue, hue, hue + 40, 60, 220];
      this.#add({
        kind: "confetti", hue: hues[n % hues.length], x: spread(Math.max(rim, 300)), y: spread(Math.max(rim, 300)), z: 420 + 300 * Math.random(),
        vx: spread(60), vy: spread(60), vz: -60, falls: 120, drag: 0.4, life: 2.6 + Math.random(), size: 7, turn: Math.random() * 6, spin: spread(9),
      });
    }
  }

  #jolt(pixels) {
    if (!this.calm) this.shake = Math.min(14, Math.max(this.shake, pixels));
  }

  #add(part) {
    this.parts.push({ vx: 0, vy: 0, vz: 0, falls: 0, drag: 0, turn: 0, spin: 0, age: 0, ...part });
  }
}
