// The two messages that are bytes. wire.go, on the server, says what is in them.
import { COARSE, FINE, body } from "./physics.js";

const VERSION = 1;
const [ALIVE, PERSON, HEAVY, FROZEN, GHOST] = [1, 2, 4, 8, 16];
const NEVER = 255;

export const READY = 0;
export const PLAY = 1;
export const OVER = 2;

// input makes the message of one tick.
export function input(seq, { ax, ay, dash }) {
  const data = new DataView(new ArrayBuffer(5));
  data.setUint16(0, seq, true);
  data.setInt8(2, ax);
  data.setInt8(3, ay);
  data.setUint8(4, dash ? 1 : 0);
  return data.buffer;
}

// newer tells whether input number a comes after b: numbers have 16 bits, and begin again.
export const newer = (a, b) => (((a - b) << 16) >> 16) > 0;

// snapshot reads one; it throws if it is none.
export function snapshot(bytes) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const u8 = () => data.getUint8(at++);
  const i8 = () => data.getInt8(at++);
  const u16 = () => data.getUint16((at += 2) - 2, true);
  const i16 = () => data.getInt16((at += 2) - 2, true);
  const u32 = () => data.getUint32((at += 4) - 4, true);

  if (u8() !== VERSION) throw new RangeError("The server has another version than this page");
  const s = { tick: u32(), phase: u8(), left: u16(), rim: u16() / FINE, discs: [], pickups: [], size: bytes.length };
  const [discs, pickups] = [u8(), u8()];
  for (let n = 0; n < discs; n++) {
    const d = { ...body(), id: u8(), person: false, ack: 0, back: 0 };
    const flags = u8();
    if (flags & PERSON) [d.person, d.ack] = [true, u16()];
    if (flags & ALIVE) {
      d.alive = true;
      d.x = i16() / FINE;
      d.y = i16() / FINE;
      d.vx = i16() / COARSE;
      d.vy = i16() / COARSE;
      d.ax = i8();
      d.ay = i8();
      d.cooldown = u8();
      if (flags & HEAVY) d.heavy = u8();
      if (flags & FROZEN) d.frozen = u8();
      if (flags & GHOST) d.ghost = u8();
    } else {
      const back = u8();
      d.back = back === NEVER ? -1 : back;
    }
    s.discs.push(d);
  }
  for (let n = 0; n < pickups; n++) s.pickups.push({ kind: u8(), x: i16() / FINE, y: i16() / FINE });
  if (at !== bytes.length) throw new RangeError("This is no snapshot");
  return s;
}
