// The physics of the server, number for number: sim/physics.go says what the numbers are and why. The page plays ahead
// with this (predict.js). Both are held together by a file of moves that each of them is tested with.

export const PLACES = 8;
export const RATE = 20; // ticks a second
export const TICK = 1000 / RATE; // ms

export const RADIUS = 34;
export const HEAVY_RADIUS = 46;
const MASS = 1;
const HEAVY_MASS = 3;

const SLICES = 5;
const DT = 0.01;
const PUSH = 11;
const GLIDE = 0.978;
const KICK = 560;
const MAX_SPEED = 1900;
export const DASH_TICKS = 28;

export const FINE = 32;
export const COARSE = 16;

export const radiusOf = (b) => (b.heavy > 0 ? HEAVY_RADIUS : RADIUS);
const massOf = (b) => (b.heavy > 0 ? HEAVY_MASS : MASS);

// body makes one: on the platform or not, where, how fast, how it was steered, and what runs out.
export const body = () => ({ alive: false, x: 0, y: 0, vx: 0, vy: 0, ax: 0, ay: 0, cooldown: 0, heavy: 0, frozen: 0, ghost: 0 });

const NOTHING = { ax: 0, ay: 0, dash: false };

// move is one tick of all bodies; inputs are by place, like bodies.
export function move(bodies, inputs) {
  bodies.forEach((b, i) => b.alive && steer(b, inputs[i] ?? NOTHING));
  for (let n = 0; n < SLICES; n++) {
    for (const b of bodies) if (b.alive) slide(b);
    for (let i = 0; i < bodies.length; i++) {
      for (let j = i + 1; j < bodies.length; j++) collide(bodies[i], bodies[j]);
    }
  }
  for (const b of bodies) settle(b);
}

function steer(b, wanted) {
  const { ax, ay, dash } = b.frozen > 0 ? NOTHING : wanted;
  b.ax = ax;
  b.ay = ay;
  if (!dash || b.cooldown > 0) return;
  let [dx, dy] = [ax, ay];
  if (dx === 0 && dy === 0) [dx, dy] = [b.vx, b.vy];
  const long = Math.sqrt(dx * dx + dy * dy);
  if (long < 1) return;
  b.vx += KICK * (dx / long);
  b.vy += KICK * (dy / long);
  b.cooldown = DASH_TICKS;
}

function slide(b) {
  let [tx, ty] = [b.ax / 127, b.ay / 127];
  const long = tx * tx + ty * ty;
  if (long > 1) {
    const root = Math.sqrt(long);
    [tx, ty] = [tx / root, ty / root];
  }
  b.vx = (b.vx + PUSH * tx) * GLIDE;
  b.vy = (b.vy + PUSH * ty) * GLIDE;
  b.x += b.vx * DT;
  b.y += b.vy * DT;
}

function collide(a, b) {
  if (!a.alive || !b.alive || a.ghost > 0 || b.ghost > 0) return;
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const reach = radiusOf(a) + radiusOf(b);
  const near = dx * dx + dy * dy;
  if (near >= reach * reach) return;
  const d = Math.sqrt(near);
  const [nx, ny] = d > 0 ? [dx / d, dy / d] : [1, 0];
  const [ma, mb] = [massOf(a), massOf(b)];
  const total = ma + mb;
  const gap = reach - d;
  const [ga, gb] = [(gap * mb) / total, (gap * ma) / total];
  a.x -= ga * nx;
  a.y -= ga * ny;
  b.x += gb * nx;
  b.y += gb * ny;

  const speed = (a.vx - b.vx) * nx + (a.vy - b.vy) * ny;
  if (speed <= 0) return;
  const j = (2 * speed * ma * mb) / total;
  const [ja, jb] = [j / ma, j / mb];
  a.vx -= ja * nx;
  a.vy -= ja * ny;
  b.vx += jb * nx;
  b.vy += jb * ny;
}

function settle(b) {
  if (!b.alive) {
    Object.assign(b, body());
    return;
  }
  b.x = fine(b.x);
  b.y = fine(b.y);
  b.vx = coarse(b.vx);
  b.vy = coarse(b.vy);
  for (const left of ["cooldown", "heavy", "frozen", "ghost"]) if (b[left] > 0) b[left]--;
}

const within = (v, limit) => Math.max(-limit, Math.min(limit, v));
const fine = (v) => Math.floor(within(v, 1000) * FINE + 0.5) / FINE;
const coarse = (v) => Math.trunc(within(v, MAX_SPEED) * COARSE) / COARSE;
