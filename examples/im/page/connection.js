// The connection: what the server tells goes into the channels; what was missed is asked for.
import { Channel } from "./channel.js";
import { Connection } from "./nano-websocket-client.js";
import { flush, settle } from "./outbox.js";
import { events, met, state } from "./store.js";

// Kicks after which the page does not come back by itself.
export const KICKS = {
  "signed in elsewhere": { title: "The messenger is open somewhere else", text: "You have opened it in another tab or window, so this one was disconnected.", back: "Use it here" },
  flood: { title: "You were disconnected", text: "Too much came from you in too short a time.", back: "Come back" },
  "signed out": null, // the page asks who comes
};

const TYPING_LASTS = 6000; // ms that somebody is shown as typing, if nothing more is heard
const GAP = 120; // ms until what is missing between two changes is asked for: it may be on its way

export const client = new Connection("/nano", {
  user: { platform: "web" },
  queue: 20, // requests of a moment; messages wait in the outbox
  reconnect: { afterKick: (reason) => !(reason in KICKS) },
});

export const request = (route, value) => client.request(route, value);

// tell sends what nobody waits for, if there is a connection.
export function tell(route, value) {
  if (!state.ready) return;
  try {
    client.notify(route, value);
  } catch {
    // it is of no use later
  }
}

let started = 0;
let begun = false; // the session has been told everything that it needs to begin

// Where the session goes on, nothing was missed: the page goes on as well, without asking anew.
client.on("state", ({ state: now, error, resumed }) => {
  begun &&= now !== "open" || resumed;
  state.ready = now === "open" && begun;
  if (state.ready) flushAll();
  else if (now === "open") start();
  else if (now === "closed" && error) events.emit("ended", error);
  events.emit("connection");
});

function flushAll() {
  for (const c of state.channels.values()) flush(c);
}

// start asks for everything that has to be known to begin, or to go on after a time away.
async function start() {
  const turn = ++started;
  begun = false;
  let reply;
  try {
    reply = await request("im.start", {});
  } catch (err) {
    if (turn !== started || client.state !== "open") return; // the next connection starts again
    if (err.code === "unauthenticated") return events.emit("ended", err);
    setTimeout(() => turn === started && client.state === "open" && start(), 1000);
    return;
  }
  if (turn !== started) return;
  state.me = reply.me;
  Object.assign(state.limits, reply.limits);
  met(state.me);
  state.online.clear();
  state.online.add(state.me.id);
  const ids = new Set(reply.channels.map((c) => c.id));
  for (const c of [...state.channels.values()]) if (!ids.has(c.id)) drop(c);
  for (const value of reply.channels) take(value);
  begun = true;
  state.ready = client.state === "open";
  events.emit("connection");
  events.emit("channels");
  events.emit("started");
  flushAll();
  if (reply.inbox > 0) inbox();
}

// take brings a channel up to what the server says of it.
function take(value) {
  let c = state.channels.get(value.id);
  if (!c) {
    c = new Channel(value);
    state.channels.set(c.id, c);
    if (c.last) met({ id: c.last.from, name: c.last.name });
    events.emit("new", c);
    return c;
  }
  const accepted = c.describe(value);
  if (c.read > value.read) tellRead(c); // it was read while the connection was away
  c.readTo(value.read);
  c.mentioned = value.mentioned ?? 0;
  if (!c.holding || accepted) {
    if (value.last || value.rev >= c.rev) c.begin({ ...value, last: value.last ?? (value.n === c.n ? c.last : null) });
  } else if (value.rev === c.rev) {
    c.count(value.read, value.unread);
  } else {
    catchUp(c);
  }
  events.emit("channel", c);
  return c;
}

function drop(c) {
  state.channels.delete(c.id);
  events.emit("gone", c);
}

// adopt returns the channel that a request has answered with.
export function adopt(value) {
  const c = take(value);
  events.emit("channels");
  return c;
}

// ---- what has changed

const syncing = new Set();

// catchUp asks for all changes of a channel since the last that is known.
export async function catchUp(c) {
  if (syncing.has(c)) return;
  syncing.add(c);
  try {
    for (let more = true, turns = 0; more && turns < 50; turns++) {
      const reply = await request("im.sync", { channel: c.id, rev: c.rev });
      if (state.channels.get(c.id) !== c) return;
      if (reply.reset) {
        c.forget();
        c.rev = reply.rev;
        await c.load(request);
        events.emit("reset", c);
      }
      for (const m of reply.messages) hear(c, m);
      const whole = c.caughtUp(reply.rev);
      more = Boolean(reply.more) || (!whole && !reply.reset);
    }
  } catch {
    // the next start, or the next change, tries again
  } finally {
    syncing.delete(c);
  }
  events.emit("channel", c);
  events.emit("messages", c);
}

// hear takes a message that is new or has changed.
function hear(c, m) {
  const isNew = c.receive(m);
  if (m.from === state.me.id) settle(c, m);
  else if (isNew) events.emit("arrived", c, m);
}

// arrive takes one message by itself: the answer to a request, or a push.
export function arrive(m) {
  const c = state.channels.get(m.channel);
  if (!c) return;
  hear(c, m);
  if (!c.advance(m.rev)) setTimeout(() => !c.advance(0) && catchUp(c), GAP);
  events.emit("channel", c);
  events.emit("messages", c);
}

const withChannel = (f) => (value) => {
  const c = state.channels.get(value.channel);
  if (c) f(c, value);
};

client.onPush("im.message", arrive);
client.onPush("im.channel", (value) => {
  if (!state.me) return;
  take(value);
  events.emit("channels");
});
client.onPush("im.about", withChannel((c, { title, members, people = [], gone = [] }) => {
  if (title) c.title = title;
  c.members = members;
  for (const person of people) {
    met(person);
    c.people?.set(person.id, person);
  }
  for (const id of gone) c.people?.delete(id);
  events.emit("channel", c);
  events.emit("described", c);
}));
client.onPush("im.gone", withChannel((c, { why }) => {
  drop(c);
  if (why === "removed") events.emit("notice", "You are no longer a member of a group", c);
  events.emit("channels");
}));
client.onPush("im.head", withChannel((c, { rev }) => rev > c.rev && catchUp(c)));
client.onPush("im.reads", withChannel((c, { reads }) => {
  for (const [user, n] of Object.entries(reads)) {
    if (user !== state.me?.id) c.reads[user] = Math.max(c.reads[user] ?? 0, n);
    else if (n > c.read) {
      c.readTo(n);
      events.emit("channel", c);
    }
  }
  events.emit("messages", c);
}));
client.onPush("im.typing", withChannel((c, { user, name, stopped }) => {
  if (user === state.me?.id) return;
  clearTimeout(c.typing.get(user)?.timer);
  const end = () => {
    c.typing.delete(user);
    events.emit("typing", c);
  };
  if (stopped) return end();
  met({ id: user, name });
  c.typing.set(user, { name, timer: setTimeout(end, TYPING_LASTS) });
  events.emit("typing", c);
}));
client.onPush("im.presence", ({ user, online }) => {
  if (online) state.online.add(user);
  else state.online.delete(user);
  events.emit("presence", user);
});
client.onPush("im.again", () => start()); // the session goes on at another gate
client.onPush("live.tick", (tick) => events.emit("tick", tick));

// ---- what an operator sends: the page shows what comes as onNotice

// notice shows an operator's push, whose data are a text, or have one.
function notice(data) {
  const text = typeof data === "string" ? data : data?.text ?? data?.message ?? data?.title;
  if (typeof text === "string" && text) events.emit("notice", text);
}

client.onPush("onNotice", notice);
client.onPush("im.kept", ({ id }) => taken([id]).catch(() => {})); // it comes again with the next start

const taken = (ids) => request("im.taken", { ids });

async function inbox() {
  try {
    for (let more = true; more; ) {
      const reply = await request("im.inbox", {});
      for (const { route, data } of reply.pushes) if (route === "onNotice") notice(data);
      if (reply.pushes.length > 0) await taken(reply.pushes.map((p) => p.id));
      more = Boolean(reply.more);
    }
  } catch {
    // the next start asks again
  }
}

// ---- how far one has read

const reading = new Map();

// readTo notes that one has read up to a message, and tells the server before long.
export function readTo(c, n) {
  n = Math.min(n, c.n);
  if (n <= c.read || c.role === "invited") return;
  c.readTo(n);
  events.emit("channel", c);
  tellRead(c);
}

function tellRead(c) {
  if (reading.has(c)) return;
  reading.set(c, setTimeout(() => {
    reading.delete(c);
    request("im.read", { channel: c.id, n: c.read }).catch(() => {}); // the next start tells it again
  }, 250));
}
