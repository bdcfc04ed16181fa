// What one has written and the server has not stored yet. It is shown at once, goes in the order in
// which it was written, and waits while the connection is away, also over a reload of the page.
// Each message has an id of its own, by which the server knows one that comes again.
import { arrive, request } from "./connection.js";
import { upload } from "./pictures.js";
import { events, freshId, kept, state } from "./store.js";

const PAUSE = 1500; // ms before another attempt

const key = () => `outbox-${state.me.id}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const flushing = new Set();

// send puts a message into the outbox. prepared is a picture from pictures.js.
export function send(c, { text, reply, mentions, prepared }) {
  c.pending.push({ cid: freshId(), text, reply, mentions, prepared, picture: null, state: "waiting", at: Date.now() });
  changed(c);
  flush(c);
}

// again sends one that was refused; discard takes it away.
export function again(c, item) {
  item.state = "waiting";
  changed(c);
  flush(c);
}

export function discard(c, item) {
  c.pending = c.pending.filter((p) => p !== item);
  changed(c);
}

// settle takes a message out of the outbox that is stored.
export function settle(c, m) {
  const item = m.cid && c.pending.find((p) => p.cid === m.cid);
  if (!item) return;
  c.pending = c.pending.filter((p) => p !== item);
  events.emit("stored", c, item, m);
  keep();
}

function changed(c) {
  keep();
  events.emit("messages", c);
}

// keep stores what waits, for when the page is closed. A picture that has not arrived cannot be
// kept.
function keep() {
  const list = [];
  for (const c of state.channels.values()) {
    for (const { cid, text, reply, mentions, picture, prepared, state: now, at } of c.pending) {
      if (now !== "failed" && (picture || !prepared)) list.push({ channel: c.id, cid, text, reply, mentions, picture, at });
    }
  }
  kept.set(key(), list.length > 0 ? list : null);
}

// restore brings back what an earlier page has left.
export function restore() {
  for (const { channel, ...item } of kept.get(key()) ?? []) {
    const c = state.channels.get(channel);
    if (c && !c.pending.some((p) => p.cid === item.cid)) c.pending.push({ ...item, state: "waiting" });
  }
}

// flush sends what waits in a channel: one after the other, so that they keep their order.
export async function flush(c) {
  if (flushing.has(c)) return;
  flushing.add(c);
  try {
    for (let item; state.ready && (item = c.pending.find((p) => p.state === "waiting")); ) await deliver(c, item);
  } finally {
    flushing.delete(c);
  }
}

async function deliver(c, item) {
  item.state = "sending";
  try {
    if (item.prepared && !item.picture) item.picture = await upload(c, item.prepared);
    const { cid, text, reply, mentions, picture } = item;
    arrive(await request("im.send", { channel: c.id, cid, text, reply, mentions, picture: picture?.id }));
  } catch (err) {
    if (!c.pending.includes(item)) return; // a push has told of it already
    const later = ["unavailable", "deadline_exceeded", "resource_exhausted", "canceled"].includes(err.code);
    item.state = later ? "waiting" : "failed";
    item.error = err;
    changed(c);
    if (later && state.ready) await pause(PAUSE);
  }
}
