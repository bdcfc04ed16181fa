// Draws a view of the game: the platform, what lies on it, the discs, and what flies about. It knows nothing of the
// network; disc.js draws a disc.
import { Discs } from "./disc.js";

const THICK = 54; // of the platform, in units
const KINDS = { 1: { hue: 300, name: "heavy" }, 2: { hue: 220, name: "freeze" }, 3: { hue: 45, name: "blast" } };

const LOOKS = {
  dark: {
    top: ["#456670", "#22343d"], side: ["#0b151b", "#2f4a56", "#0b151b"], line: "#ffffff17", band: "#46cfae", soon: "#ff7a5c", danger: "#ff5a45",
    text: "#f3f8f6", halo: "#0b1210cc", spark: "#ffe9b0", dust: "#c8d8d2", crumb: "#3b5058",
  },
  light: {
    top: ["#ffffff", "#e2ebe7"], side: ["#7f968d", "#b5c7bf", "#7f968d"], line: "#0c3d3214", band: "#0c8f77", soon: "#e2583d", danger: "#d6341f",
    text: "#14201c", halo: "#ffffffd9", spark: "#e08a00", dust: "#8fa39b", crumb: "#c3d1cb",
  },
};

const darkness = matchMedia("(prefers-color-scheme: dark)");

export class Painter {
  #stage;
  #effects;
  #discs;
  #time = 0;

  constructor(stage, effects) {
    this.#stage = stage;
    this.#effects = effects;
    this.#discs = new Discs(stage);
  }

  // paint draws one frame, s seconds after the last one.
  paint(view, s) {
    this.#time += s;
    const { draw } = this.#stage;
    const look = LOOKS[(document.documentElement.dataset.theme ?? (darkness.matches ? "dark" : "light"))];
    const time = this.#effects.calm ? 0 : this.#time;
    this.#stage.begin(view.rim, s, this.#effects.shake);
    const falling = this.#effects.falling.map((f) => ({ ...f, falling: true }));
    for (const f of falling) if (f.y < 0) this.#discs.paint(f, look, time);
    this.#platform(view, look, time);
    for (const p of view.pickups) this.#pickup(p, time);
    const alive = view.discs.filter((d) => d.alive).sort((a, b) => a.y - b.y);
    for (const d of alive) this.#discs.ground(d, look, time);
    for (const d of alive) this.#discs.paint(d, look, time);
    for (const f of falling) if (f.y >= 0) this.#discs.paint(f, look, time);
    for (const part of this.#effects.parts) this.#part(part, look);
    for (const d of alive) this.#discs.name(d, look);
    draw.globalAlpha = 1;
  }

  // stick shows where a finger holds the stick.
  stick(stick) {
    if (!stick) return;
    const { draw } = this.#stage;
    draw.globalAlpha = 0.5;
    draw.lineWidth = 2;
    draw.strokeStyle = draw.fillStyle = "#8fb8ad";
    draw.beginPath();
    draw.arc(stick.x, stick.y, 56, 0, 2 * Math.PI);
    draw.stroke();
    draw.beginPath();
    draw.arc(stick.x + stick.dx, stick.y + stick.dy, 24, 0, 2 * Math.PI);
    draw.fill();
    draw.globalAlpha = 1;
  }

  #ellipse(x, y, r, z = 0) {
    const { draw, scale } = this.#stage;
    const [sx, sy] = this.#stage.at(x, y, z);
    draw.beginPath();
    draw.ellipse(sx, sy, Math.max(0, r * scale), Math.max(0, r * scale * this.#stage.tilt), 0, 0, 2 * Math.PI);
  }

  #platform(view, look, time) {
    const { draw, scale } = this.#stage;
    const { rim } = view;
    const [x, y] = this.#stage.at(0, 0);
    const r = rim * scale;

    // The side: the lower half of a deeper ellipse, and what lies between it and the upper one.
    const side = draw.createLinearGradient(x - r, 0, x + r, 0);
    look.side.forEach((colour, i) => side.addColorStop(i / 2, colour));
    draw.fillStyle = side;
    draw.beginPath();
    draw.ellipse(x, y + THICK * scale, r * 0.97, r * 0.97 * this.#stage.tilt, 0, 0, Math.PI);
    draw.lineTo(x - r, y);
    draw.ellipse(x, y, r, r * this.#stage.tilt, 0, Math.PI, 2 * Math.PI);
    draw.closePath();
    draw.fill();

    const top = draw.createRadialGradient(x, y - r * 0.3, r * 0.1, x, y, r);
    look.top.forEach((colour, i) => top.addColorStop(i, colour));
    draw.fillStyle = top;
    this.#ellipse(0, 0, rim);
    draw.fill();

    draw.save();
    draw.clip();
    draw.strokeStyle = look.line;
    draw.lineWidth = 2;
    for (let ring = 90; ring < rim; ring += 90) {
      this.#ellipse(0, 0, ring);
      draw.stroke();
    }
    draw.beginPath();
    for (let n = 0; n < 16; n++) {
      const [c, s] = [Math.cos((n * Math.PI) / 8), Math.sin((n * Math.PI) / 8)];
      draw.moveTo(...this.#stage.at(c * 90, s * 90));
      draw.lineTo(...this.#stage.at(c * rim, s * rim));
    }
    draw.stroke();
    if (view.shrinks) {
      // What will be gone in a few seconds.
      draw.globalAlpha = 0.16 + 0.08 * Math.sin(time * 6);
      draw.fillStyle = look.soon;
      this.#ellipse(0, 0, rim);
      const [cx, cy] = this.#stage.at(0, 0);
      draw.ellipse(cx, cy, view.rimSoon * scale, view.rimSoon * scale * this.#stage.tilt, 0, 0, 2 * Math.PI, true);
      draw.fill();
      draw.globalAlpha = 1;
    }
    draw.restore();

    const danger = view.sudden;
    draw.strokeStyle = danger ? look.danger : look.band;
    draw.globalAlpha = danger ? 0.75 + 0.25 * Math.sin(time * 9) : 0.9;
    draw.lineWidth = Math.max(2.5, 6 * scale);
    this.#ellipse(0, 0, rim - 3);
    draw.stroke();
    draw.globalAlpha = 0.25;
    draw.lineWidth *= 3;
    draw.stroke();
    draw.globalAlpha = 1;
  }

  #pickup({ kind, x, y }, time) {
    const { draw, scale } = this.#stage;
    const { hue, name } = KINDS[kind] ?? KINDS[1];
    const r = 20;
    draw.fillStyle = `oklch(0.7 0.15 ${hue} / 0.22)`;
    this.#ellipse(x, y, r * (1.5 + 0.15 * Math.sin(time * 4)));
    draw.fill();
    const [sx, sy] = this.#stage.at(x, y, 24 + 5 * Math.sin(time * 3 + x));
    const size = r * scale;
    const ball = draw.createRadialGradient(sx - size * 0.3, sy - size * 0.4, size * 0.1, sx, sy, size);
    ball.addColorStop(0, `oklch(0.9 0.1 ${hue})`);
    ball.addColorStop(1, `oklch(0.6 0.19 ${hue})`);
    draw.fillStyle = ball;
    draw.beginPath();
    draw.arc(sx, sy, size, 0, 2 * Math.PI);
    draw.fill();
    draw.strokeStyle = "#fff";
    draw.lineWidth = Math.max(1.5, size * 0.14);
    draw.lineCap = "round";
    draw.beginPath();
    SIGNS[name](draw, sx, sy, size * 0.52);
    draw.stroke();
  }

  #part(p, look) {
    const { draw, scale } = this.#stage;
    const left = 1 - p.age / p.life;
    const colour = p.hue === undefined ? undefined : `oklch(0.72 0.17 ${p.hue})`;
    const [x, y] = this.#stage.at(p.x, p.y, p.z);
    const size = p.size * Math.max(0.5, scale * 1.6);
    draw.globalAlpha = Math.min(1, left * 1.6);
    draw.fillStyle = colour ?? look.dust;
    draw.strokeStyle = colour ?? look.spark;
    switch (p.kind) {
      case "ring":
        draw.lineWidth = 1 + 5 * left;
        this.#ellipse(p.x, p.y, p.size * (1 - left * left));
        draw.stroke();
        break;
      case "spark": {
        const [fx, fy] = this.#stage.at(p.x - p.vx * 0.03, p.y - p.vy * 0.03, p.z);
        draw.lineWidth = size;
        draw.lineCap = "round";
        draw.beginPath();
        draw.moveTo(fx, fy);
        draw.lineTo(x, y);
        draw.stroke();
        break;
      }
      case "word":
        this.#discs.words(p.text, x, y, 22, look, colour);
        break;
      case "dot":
        draw.beginPath();
        draw.arc(x, y, size * left, 0, 2 * Math.PI);
        draw.fill();
        break;
      default: // crumbs and confetti
        draw.fillStyle = colour ?? look.crumb;
        draw.translate(x, y);
        draw.rotate(p.turn);
        draw.fillRect(-size / 2, -size / 2, size, size * (p.kind === "confetti" ? Math.abs(Math.cos(p.turn * 2)) : 1));
        draw.rotate(-p.turn);
        draw.translate(-x, -y);
    }
    draw.globalAlpha = 1;
  }
}

// SIGNS are what is on a pick-up.
const SIGNS = {
  heavy(draw, x, y, r) {
    draw.moveTo(x - r, y);
    draw.lineTo(x + r, y);
    for (const side of [-1, 1]) {
      draw.moveTo(x + side * r, y - r * 0.8);
      draw.lineTo(x + side * r, y + r * 0.8);
      draw.moveTo(x + side * r * 0.6, y - r);
      draw.lineTo(x + side * r * 0.6, y + r);
    }
  },
  freeze(draw, x, y, r) {
    for (let n = 0; n < 3; n++) {
      const [c, s] = [Math.cos((n * Math.PI) / 3 + Math.PI / 6) * r * 1.15, Math.sin((n * Math.PI) / 3 + Math.PI / 6) * r * 1.15];
      draw.moveTo(x - c, y - s);
      draw.lineTo(x + c, y + s);
    }
  },
  blast(draw, x, y, r) {
    for (let n = 0; n < 8; n++) {
      const [c, s] = [Math.cos((n * Math.PI) / 4), Math.sin((n * Math.PI) / 4)];
      const from = n % 2 ? 0.5 : 0.35;
      draw.moveTo(x + c * r * from, y + s * r * from);
      draw.lineTo(x + c * r * (n % 2 ? 0.9 : 1.25), y + s * r * (n % 2 ? 0.9 : 1.25));
    }
  },
};
