// Draws one disc: a puck with a face, which looks where it is steered.
import { DASH_TICKS, radiusOf } from "./physics.js";

const HIGH = 20; // of a puck, in units
const TRAIL = 7;
const FAST = 480; // from this speed on it leaves a trail

export class Discs {
  #stage;
  #looks = new Map(); // of each disc, where it looks: this follows the steering
  #trails = new Map();

  constructor(stage) {
    this.#stage = stage;
  }

  // ground draws what lies on the platform: the shadow, the trail, and the ring under one's own disc.
  ground(d, look, time) {
    const { draw, scale } = this.#stage;
    const r = radiusOf(d);
    this.#trail(d, r);
    const [x, y] = this.#stage.at(d.x, d.y);
    draw.globalAlpha = d.ghost > 0 ? 0.1 : 0.3;
    draw.fillStyle = "#000";
    this.#oval(x + 3 * scale, y + 7 * scale, r * 1.06 * scale);
    draw.fill();
    draw.globalAlpha = 1;
    if (!d.mine) return;
    // The ring is full when one can dash.
    const ready = 1 - d.cooldown / DASH_TICKS;
    draw.lineWidth = Math.max(2, 5 * scale);
    draw.strokeStyle = look.text;
    draw.globalAlpha = 0.25;
    this.#oval(x, y, (r + 13) * scale);
    draw.stroke();
    draw.globalAlpha = ready >= 1 ? 0.75 + 0.2 * Math.sin(time * 5) : 0.85;
    draw.beginPath();
    draw.ellipse(x, y, (r + 13) * scale, (r + 13) * scale * this.#stage.tilt, 0, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * ready);
    draw.stroke();
    draw.globalAlpha = 1;
  }

  // paint draws the disc itself, also one that falls.
  paint(d, look, time) {
    const { draw, scale } = this.#stage;
    const r = radiusOf(d) * scale * (d.falling ? Math.max(0.2, 1 - d.age * 0.45) : 1);
    const [x, foot] = this.#stage.at(d.x, d.y, d.z ?? 0);
    const y = foot - HIGH * scale;
    draw.globalAlpha = d.falling ? Math.max(0, 1 - d.age / 1.3) : d.ghost > 0 ? 0.5 + 0.25 * Math.sin(time * 20) : 1;
    const chroma = d.bot ? 0.11 : 0.18;

    draw.fillStyle = `oklch(0.46 ${chroma} ${d.hue})`;
    draw.beginPath();
    draw.ellipse(x, foot, r, r * this.#stage.tilt, 0, 0, Math.PI);
    draw.ellipse(x, y, r, r * this.#stage.tilt, 0, Math.PI, 2 * Math.PI);
    draw.closePath();
    draw.fill();
    const top = draw.createRadialGradient(x - r * 0.3, y - r * 0.35, r * 0.1, x, y, r * 1.05);
    top.addColorStop(0, `oklch(0.86 ${chroma * 0.7} ${d.hue})`);
    top.addColorStop(1, `oklch(0.66 ${chroma} ${d.hue})`);
    draw.fillStyle = top;
    this.#oval(x, y, r);
    draw.fill();
    draw.lineWidth = Math.max(1, r * (d.heavy > 0 ? 0.2 : 0.07));
    draw.strokeStyle = d.heavy > 0 ? "#3a2b52" : `oklch(0.92 0.06 ${d.hue} / 0.7)`;
    this.#oval(x, y, r * (d.heavy > 0 ? 0.9 : 0.93));
    draw.stroke();

    if (d.bot) this.#antenna(x, y, r, d.hue, time);
    this.#face(d, x, y, r);
    if (d.frozen > 0 && !d.waiting) this.#ice(x, y, r);
    if (d.leads) this.#crown(x, y - r * this.#stage.tilt * (d.bot ? 1.5 : 1), r * 0.55);
    draw.globalAlpha = 1;
  }

  name(d, look) {
    const [x, y] = this.#stage.at(d.x, d.y);
    const r = radiusOf(d) * this.#stage.scale;
    const above = y - HIGH * this.#stage.scale - r * (d.leads ? (d.bot ? 2.1 : 1.6) : d.bot ? 1.6 : 1.05) - 4;
    this.#stage.draw.globalAlpha = d.ghost > 0 ? 0.6 : 1;
    this.words(d.name + (d.away ? " …" : ""), x, above, d.mine ? 14 : 12.5, look, undefined, d.mine ? 750 : 600);
    this.#stage.draw.globalAlpha = 1;
  }

  words(text, x, y, size, look, colour = look.text, weight = 800) {
    const { draw } = this.#stage;
    draw.font = `${weight} ${size}px Inter, system-ui, sans-serif`;
    draw.textAlign = "center";
    draw.lineJoin = "round";
    draw.lineWidth = size / 3.5;
    draw.strokeStyle = look.halo;
    draw.strokeText(text, x, y);
    draw.fillStyle = colour;
    draw.fillText(text, x, y);
  }

  #oval(x, y, r) {
    this.#stage.draw.beginPath();
    this.#stage.draw.ellipse(x, y, r, r * this.#stage.tilt, 0, 0, 2 * Math.PI);
  }

  #trail(d, r) {
    const { draw, scale } = this.#stage;
    let trail = this.#trails.get(d.id);
    if (!trail) this.#trails.set(d.id, (trail = []));
    const last = trail.at(-1);
    if (last && Math.hypot(last.x - d.x, last.y - d.y) > 150) trail.length = 0; // it was put elsewhere
    trail.push({ x: d.x, y: d.y, fast: Math.hypot(d.vx, d.vy) > FAST });
    if (trail.length > TRAIL) trail.shift();
    trail.forEach((t, i) => {
      if (!t.fast) return;
      draw.globalAlpha = (0.28 * (i + 1)) / TRAIL;
      draw.fillStyle = `oklch(0.8 0.14 ${d.hue})`;
      this.#oval(...this.#stage.at(t.x, t.y, HIGH / 2), r * scale * (0.55 + (0.4 * i) / TRAIL));
      draw.fill();
    });
    draw.globalAlpha = 1;
  }

  #face(d, x, y, r) {
    const { draw } = this.#stage;
    let gaze = this.#looks.get(d.id);
    if (!gaze) this.#looks.set(d.id, (gaze = { x: 0, y: 0.3 }));
    const long = Math.hypot(d.ax, d.ay);
    if (long > 20) {
      gaze.x += (d.ax / long - gaze.x) * 0.25;
      gaze.y += (d.ay / long - gaze.y) * 0.25;
    }
    const scared = d.falling;
    const [gx, gy] = [x + gaze.x * r * 0.3, y + gaze.y * r * 0.3 * this.#stage.tilt - r * 0.06];
    for (const side of [-1, 1]) {
      const ex = gx + side * r * 0.29;
      draw.fillStyle = "#fff";
      draw.beginPath();
      draw.ellipse(ex, gy, r * (scared ? 0.26 : 0.21), r * (scared ? 0.3 : d.ghost > 0 ? 0.1 : 0.26), 0, 0, 2 * Math.PI);
      draw.fill();
      draw.fillStyle = "#1b1b26";
      draw.beginPath();
      draw.arc(ex + gaze.x * r * 0.08, gy + gaze.y * r * 0.1, r * (scared ? 0.08 : 0.12), 0, 2 * Math.PI);
      draw.fill();
    }
    if (!scared && long < 20) return;
    // The mouth: round when it falls, a line when it wants something.
    draw.strokeStyle = draw.fillStyle = "#1b1b26";
    draw.lineWidth = Math.max(1, r * 0.08);
    draw.lineCap = "round";
    draw.beginPath();
    if (scared) draw.arc(gx, gy + r * 0.5, r * 0.13, 0, 2 * Math.PI);
    else {
      draw.moveTo(gx - r * 0.14, gy + r * 0.42);
      draw.lineTo(gx + r * 0.14, gy + r * 0.42);
    }
    if (scared) draw.fill();
    else draw.stroke();
  }

  // Bots have an antenna, so that nobody takes them for people.
  #antenna(x, y, r, hue, time) {
    const { draw } = this.#stage;
    const tip = [x + Math.sin(time * 5 + hue) * r * 0.08, y - r * 1.3];
    draw.strokeStyle = `oklch(0.46 0.08 ${hue})`;
    draw.lineWidth = Math.max(1, r * 0.08);
    draw.beginPath();
    draw.moveTo(x, y - r * this.#stage.tilt * 0.9);
    draw.lineTo(...tip);
    draw.stroke();
    draw.fillStyle = `oklch(0.86 0.13 ${hue})`;
    draw.beginPath();
    draw.arc(...tip, r * 0.13, 0, 2 * Math.PI);
    draw.fill();
  }

  #ice(x, y, r) {
    const { draw } = this.#stage;
    draw.fillStyle = "#9fdcff99";
    draw.strokeStyle = "#ffffffd0";
    draw.lineWidth = Math.max(1, r * 0.07);
    draw.beginPath();
    for (let n = 0; n < 7; n++) {
      const turn = (n * 2 * Math.PI) / 7 + 0.3;
      draw.lineTo(x + Math.cos(turn) * r * 1.14, y + Math.sin(turn) * r * 1.14 * this.#stage.tilt);
    }
    draw.closePath();
    draw.fill();
    draw.stroke();
    draw.beginPath();
    draw.moveTo(x - r * 0.5, y - r * 0.1);
    draw.lineTo(x - r * 0.1, y - r * 0.5);
    draw.moveTo(x + r * 0.1, y + r * 0.4);
    draw.lineTo(x + r * 0.5, y);
    draw.stroke();
  }

  #crown(x, y, size) {
    const { draw } = this.#stage;
    draw.fillStyle = "#ffc93c";
    draw.strokeStyle = "#8a5a00";
    draw.lineWidth = Math.max(1, size * 0.1);
    draw.lineJoin = "round";
    draw.beginPath();
    draw.moveTo(x - size, y);
    draw.lineTo(x - size, y - size);
    draw.lineTo(x - size * 0.45, y - size * 0.45);
    draw.lineTo(x, y - size * 1.15);
    draw.lineTo(x + size * 0.45, y - size * 0.45);
    draw.lineTo(x + size, y - size);
    draw.lineTo(x + size, y);
    draw.closePath();
    draw.fill();
    draw.stroke();
  }
}
