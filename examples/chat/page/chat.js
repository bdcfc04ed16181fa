// @ts-check The chat: who one is, the rooms one is in, and what the server and the person do. The
// page's parts are drawn in view.js, a room's messages in log.js; the connection is the package
// nano-websocket-client, from clients/js.
import { explain } from "./dom.js";
import { Connection } from "./nano-websocket-client.js";
import { RoomLog } from "./log.js";
import { View } from "./view.js";

// The routes are those of ../routes.d.ts, which is made from the server: a wrong one, or a wrong
// field, fails a test. Nothing waits in the connection: what is written while it is away stands in
// the room, and goes when one is in it again.
/** @type {Connection<import("../routes.js").Chat>} */
const client = new Connection("/nano", { queue: 0, reconnect: { afterKick: (reason) => !(reason in KICKS) } });

// Kicks after which the page does not come back by itself. The server uses these two words.
const KICKS = {
  moved: {
    unsent: "This chat was opened somewhere else.",
    title: "This chat is open somewhere else",
    text: "You came in with the same name in another tab or window, so this one was disconnected.",
    back: "Use it here",
  },
  flood: {
    unsent: "You were taken out of the chat, as too many messages came from you.",
    title: "You were taken out of the chat",
    text: "Too many messages came from you in too short a time.",
    back: "Come back",
  },
};

const GENTLE = 1500; // ms for which a lost connection may be away before the page says so
const TYPING_EVERY = 2500; // ms between two "is typing" of ours
const TYPING_LASTS = 5000; // ms that one of others is shown

let inside = false; // the session has a name
let typedAt = 0; // when the others were last told that one is typing in this room; 0: they think one is not

const state = {
  me: null, // {name, key} once a name was given
  entered: false, // there is a connection, and its session has that name
  rooms: [], // those one is in, in the order of joining
  active: null,
  list: [], // all rooms of the server: {name, members}
  limits: { name: 24, text: 500, history: 50 }, // the server says the real ones
  away: false, // the connection was lost and is not back yet
};

const same = (a, b) => a.toLowerCase() === b.toLowerCase();
const findRoom = (name) => state.rooms.find((room) => same(room.name, name));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// newRoom is a room of this page. It is joined while the session is in it, and ready while there is
// a connection too.
function newRoom(name) {
  return { name, epoch: "", last: 0, joined: false, ready: false, members: [], unread: 0, draft: "", pending: [], typing: new Map(), log: new RoomLog() };
}

// What is kept: the name and rooms for as long as the tab lives, so that a reload comes back to
// them, and the last name for the next visit. Storage may be forbidden; then nothing is kept.
const saved = {
  load() {
    try {
      return JSON.parse(sessionStorage.getItem("nano-chat")) ?? {};
    } catch {
      return {};
    }
  },
  store() {
    try {
      const { me, rooms, active } = state;
      if (!me) return sessionStorage.removeItem("nano-chat");
      sessionStorage.setItem("nano-chat", JSON.stringify({ ...me, rooms: rooms.map((r) => r.name), active: active?.name }));
      localStorage.setItem("nano-chat-name", me.name);
    } catch {
      // not kept
    }
  },
  lastName() {
    try {
      return localStorage.getItem("nano-chat-name") ?? "";
    } catch {
      return "";
    }
  },
};

const view = new View(state, {
  enter,
  openRoom: (name) => openRoom(name).then(() => view.closeDrawers()),
  select,
  leave,
  send,
  edited,
  signOut,
  comeBack: () => client.open(),
  retryNow,
  read,
});

// ---- coming in

// enter is the welcome form: take a name, then go into a room.
async function enter(name, roomName) {
  await settled();
  if (!state.entered) {
    const reply = await client.request("chat.enter", { name });
    accept(reply);
  }
  try {
    await openRoom(roomName || "lobby");
  } catch (err) {
    view.toast(explain(err), true);
  }
  view.showApp();
}

// settled waits while a connection is being made; who types fast is done before it is.
function settled() {
  if (client.state !== "connecting") return;
  return new Promise((resolve) => {
    const off = client.on("state", () => resolve(off()));
  });
}

function accept({ name, key, rooms, limits }) {
  state.me = { name, key };
  state.entered = inside = true;
  state.list = rooms;
  state.limits = limits;
  saved.store();
  view.people();
  view.rooms();
}

// resume takes name and rooms up again on a new connection, and sends what was written meanwhile.
async function resume() {
  try {
    accept(await client.request("chat.enter", state.me));
    const results = await Promise.allSettled(state.rooms.map((room) => join(room)));
    for (const [i, result] of results.entries()) {
      const reason = result.status === "rejected" && result.reason;
      if (reason && reason.code !== "unavailable") {
        view.toast(`#${state.rooms[i].name}: ${explain(reason)}`, true);
      }
    }
  } catch (err) {
    if (err.code === "unavailable") return; // lost again: the next connection tries again
    if (err.code === "deadline_exceeded" || err.code === "resource_exhausted") {
      await pause(2000);
      return client.state === "open" && !state.entered ? resume() : undefined;
    }
    const name = state.me.name;
    forget();
    view.showWelcome(name, err.code === "already_exists" ? `While you were away, somebody took the name ${name}. Choose another.` : explain(err));
    return;
  }
  state.away = false;
  view.connection();
  for (const room of state.rooms) flush(room);
}

// join goes into a room on the present connection and merges what was said there in the meantime.
async function join(room) {
  const reply = await client.request("chat.join", { room: room.name });
  const fresh = room.last > 0 ? reply.messages.filter((m) => m.n > room.last) : reply.messages;
  room.name = reply.room;
  room.members = reply.members;
  room.typing.clear();
  if (room.epoch !== "" && room.epoch !== reply.epoch) {
    // Another room of that name: the server was restarted. Its numbers begin again.
    room.last = 0;
    fresh.splice(0, fresh.length, ...reply.messages);
    if (!room.log.isEmpty) room.log.divider("The server was restarted. What is above is kept on this page only.", "gap");
  } else if (room.last > 0 && fresh.length > 0 && fresh[0].n > room.last + 1) {
    room.log.divider("Some messages in between are gone", "gap");
  }
  const first = room.epoch === "";
  room.epoch = reply.epoch;
  room.joined = room.ready = true;
  for (const message of fresh) receive(room, message, first);
  room.last = Math.max(room.last, reply.last);
  view.room(room);
}

async function openRoom(asked) {
  const name = asked.trim().replace(/\s+/g, " ");
  const known = findRoom(name);
  if (known) return select(known);
  const room = newRoom(name);
  state.rooms.push(room); // what is pushed before the answer finds its room
  try {
    await join(room);
  } catch (err) {
    state.rooms = state.rooms.filter((r) => r !== room);
    view.rooms();
    throw err;
  }
  const twin = state.rooms.find((r) => r !== room && r.name === room.name);
  if (twin) state.rooms = state.rooms.filter((r) => r !== room); // the server takes both names for one
  select(twin ?? room);
}

// ---- rooms

function select(room) {
  if (state.active !== room) {
    stopTyping();
    if (state.active) state.active.log.endFresh();
    state.active = room;
    view.select();
  }
  view.closeDrawers();
  saved.store();
}

async function leave(room) {
  if (room.ready && client.state === "open") {
    try {
      await client.request("chat.leave", { room: room.name });
    } catch (err) {
      if (err.code !== "unavailable") return view.toast(explain(err), true);
    }
  }
  const at = state.rooms.indexOf(room);
  state.rooms = state.rooms.filter((r) => r !== room);
  if (state.active === room) {
    state.active = state.rooms[Math.min(at, state.rooms.length - 1)] ?? null;
    view.select();
  }
  view.rooms();
  saved.store();
}

// read: the end of the active room's messages is in sight.
function read() {
  const room = state.active;
  if (!room || room.unread === 0) return;
  room.unread = 0;
  view.rooms();
}

// ---- messages

// receive shows a message that the server sent. old ones, from before one came, are not unread.
function receive(room, message, old = false) {
  if (message.n <= room.last) return;
  room.last = message.n;
  room.typing.delete(message.from);
  const own = same(message.from, state.me.name);
  const mine = own && room.pending.find((p) => p.ref === message.ref);
  if (mine) {
    room.pending = room.pending.filter((p) => p !== mine);
    mine.shown.remove();
  }
  const unread = !own && !old && !view.isReading(room);
  if (unread && room.unread === 0) room.log.startFresh();
  if (own && !old) room.log.endFresh();
  room.log.message(message, own);
  if (unread) room.unread++;
  view.received(room, own);
}

// send is the composer. It returns what is wrong with the text, or "".
function send(text) {
  const room = state.active;
  const length = [...text.trim()].length;
  if (!room) return "Join a room first.";
  if (length === 0) return "Write something first.";
  if (length > state.limits.text) return `Too long: ${length} characters, and at most ${state.limits.text} are allowed.`;
  const message = { text: text.trim(), ref: newRef() };
  message.shown = room.log.pending(state.me.name, message.text);
  room.pending.push(message);
  room.draft = "";
  room.log.endFresh();
  deliver(room, message);
  view.received(room, true);
  return "";
}

// deliver sends a message, or leaves it to wait for the connection. Its mark makes it harmless to
// send one twice: when the connection ends before the answer, nobody knows whether it came through.
async function deliver(room, message) {
  message.refused = false;
  message.sent = false; // and the answer is awaited
  if (!room.ready || client.state !== "open") return message.shown.waiting();
  message.shown.sending();
  message.sent = true;
  const typed = typedAt;
  try {
    await client.request("chat.say", { room: room.name, text: message.text, ref: message.ref });
    if (room === state.active && typedAt === typed) typedAt = 0; // the message has told them
    if (room.pending.includes(message)) discard(room, message); // it was said before, and is in the log
  } catch (err) {
    message.sent = false;
    const kick = err.code === "kicked" && KICKS[err.message];
    if (err.code === "deadline_exceeded" && client.state !== "open") return message.shown.waiting();
    if (err.code === "unavailable" || (err.code === "kicked" && !kick)) return message.shown.waiting();
    if (room === state.active && typedAt === typed) stopTyping();
    message.refused = true; // sent again only if the person wants that
    message.shown.failed(
      kick ? kick.unsent : explain(err),
      () => deliver(room, message),
      () => discard(room, message),
    );
    view.received(room, true);
  }
}

function discard(room, message) {
  room.pending = room.pending.filter((p) => p !== message);
  message.shown.remove();
  view.received(room, false);
}

async function flush(room) {
  for (const message of room.pending.filter((m) => !m.refused && !m.sent)) await deliver(room, message);
}

const newRef = () => Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(16).padStart(2, "0")).join("");

// edited tells the others that one is typing, now and then, and at once that one is not.
function edited(text) {
  const room = state.active;
  if (text.trim() === "") return stopTyping();
  if (!room?.ready || client.state !== "open" || Date.now() - typedAt < TYPING_EVERY) return;
  typedAt = Date.now();
  client.notify("chat.typing", { room: room.name });
}

// stopTyping is for a text that is taken back, or left for another room.
function stopTyping() {
  if (typedAt === 0) return;
  typedAt = 0;
  if (state.active?.ready && client.state === "open") client.notify("chat.typing", { room: state.active.name, stopped: true });
}

// ---- what the server pushes

// inRoom calls handle for pushes to a room that one is in; others are late ones, and of no
// interest.
/** @type {<P extends {room: string}>(handle: (room: ReturnType<typeof newRoom>, push: P) => void) => (push: P) => void} */
const inRoom = (handle) => (push) => {
  const room = findRoom(push.room);
  if (room && state.me) handle(room, push);
};

client.onPush("chat.message", inRoom((room, message) => {
  if (room.ready) receive(room, message); // before that, the answer to join brings it
}));

client.onPush("chat.joined", inRoom((room, { name }) => {
  if (!room.ready || room.members.some((m) => same(m, name))) return;
  room.members.push(name);
  room.log.came(name);
  view.noticed(room);
}));

client.onPush("chat.left", inRoom((room, { name }) => {
  room.members = room.members.filter((m) => !same(m, name));
  room.typing.delete(name);
  room.log.went(name);
  view.noticed(room);
}));

client.onPush("chat.typing", inRoom(async (room, { name, stopped }) => {
  if (stopped) {
    room.typing.delete(name);
    return view.typing();
  }
  const until = Date.now() + TYPING_LASTS;
  room.typing.set(name, until);
  view.typing();
  await pause(TYPING_LASTS);
  if (room.typing.get(name) === until) room.typing.delete(name);
  view.typing();
}));

client.onPush("chat.rooms", ({ rooms }) => {
  state.list = rooms;
  view.rooms();
});

// ---- the connection

// What is lost for a moment only is not shown: the session goes on, and nothing of it is lost.
let quiet; // the timer
let latest;
client.on("state", (now) => {
  latest = now;
  if (state.entered && (now.state === "waiting" || now.state === "connecting")) {
    quiet ??= setTimeout(() => changed(latest), GENTLE);
    return;
  }
  clearTimeout(quiet);
  quiet = undefined;
  changed(now);
});

function changed(now) {
  if (now.state !== "open") {
    state.entered = false;
    typedAt = 0;
    for (const room of state.rooms) {
      room.ready = false;
      room.typing.clear(); // nobody can tell any more
    }
    view.typing();
    if (now.state === "waiting" || quiet !== undefined) state.away = true;
  } else if (now.resumed && inside) {
    state.entered = true;
    state.away = false;
    for (const room of state.rooms) {
      room.ready = room.joined;
      view.room(room);
      flush(room);
    }
  } else {
    inside = false;
    for (const room of state.rooms) room.joined = false;
  }
  view.connection(now);
  if (now.state === "open" && !inside) {
    if (state.me) resume();
    else state.away = false;
  }
  if (now.state === "closed" && now.error.code === "kicked") view.ended(KICKS[now.reason]);
  if (now.state === "closed" && now.error.code === "refused") {
    view.ended({ title: "The server refused the connection", text: now.reason || "It gave no reason.", back: "Try again" });
  }
}

// retryNow ends the wait for the next attempt. After a kick the person decides, so it does nothing
// then.
function retryNow() {
  if (client.state === "waiting") client.open();
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) retryNow();
});
window.addEventListener("hashchange", () => {
  const name = roomInAddress();
  if (!state.me || !name || (state.active && same(name, state.active.name))) return;
  openRoom(name).catch((err) => view.toast(explain(err), true));
});

function roomInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

// forget drops who one was; the connection stays.
function forget() {
  Object.assign(state, { me: null, entered: false, rooms: [], active: null, list: [], away: false });
  saved.store();
}

function signOut() {
  client.close();
  forget();
  view.showWelcome(saved.lastName(), "");
  client.open();
}

// ---- beginning

const before = saved.load();
if (typeof before.name === "string" && before.name !== "") {
  state.me = { name: before.name, key: before.key };
  state.rooms = (before.rooms ?? []).map(newRoom);
  const wanted = roomInAddress();
  if (wanted && !findRoom(wanted)) state.rooms.push(newRoom(wanted));
  state.active = findRoom(wanted) ?? findRoom(before.active ?? "") ?? state.rooms[0] ?? null;
  view.people();
  view.select();
  view.showApp();
} else {
  view.showWelcome(saved.lastName(), "", roomInAddress());
}
client.open();
