// The conversation: the messages of the channel that is open, where one is among them, and what one
// can do with each.
import { $, explain, listNames, plural } from "./dom.js";
import { compose, editing, replyTo } from "./composer.js";
import { arrive, readTo, request } from "./connection.js";
import { members } from "./mentions.js";
import { again, discard } from "./outbox.js";
import { look } from "./pictures.js";
import { drawMessage, lookOf, whoRead } from "./row.js";
import { Scroller } from "./scroller.js";
import { events, nameOf, state, titleOf } from "./store.js";
import { ask, menu, toast } from "./ui.js";
import { plain } from "./words.js";

const AHEAD = 60; // messages beyond those that are drawn that are loaded before they are needed
const FILL = 100; // ms between two looks at what is missing, while one scrolls

let c = null; // the channel that is shown
let flash = 0; // the number of the message that is to be pointed at

const stored = () => Math.max(0, c.n - c.base + 1);
const rowOf = (n) => n - c.base;

// at returns what stands in a row: a stored message (undefined: not loaded), or one of the outbox.
function at(row) {
  const count = stored();
  return row < count ? c.messages.get(c.base + row) : c.pending[row - count];
}

function lookAt(row) {
  const m = at(row);
  return m && lookOf(c, m, row > 0 ? at(row - 1) : undefined, row + 1 < source.count() ? at(row + 1) : undefined);
}

const source = {
  count: () => (c ? stored() + c.pending.length : 0),
  key: (row) => (row < stored() ? c.base + row : c.pending[row - stored()].cid),
  sign(row) {
    const m = at(row);
    if (!m) return "";
    const { own, day, fresh, follows, followed, status } = lookAt(row);
    const names = m.mentions ? m.mentions.map(nameOf).join("\n") : "";
    const quoted = m.reply ? (c.messages.get(m.reply) ?? c.quotes.get(m.reply)) : null;
    return [m.rev, m.gone, own, day, fresh, follows, followed, status, names, quoted?.rev, quoted?.gone, Boolean(m.picture)].join("|");
  },
  draw(row) {
    const m = at(row);
    if (!m) return null;
    const node = drawMessage(c, m, lookAt(row), m.reply ? c.quote(request, m.reply) : null);
    node.setAttribute("aria-posinset", String(row + 1));
    node.setAttribute("aria-setsize", String(source.count()));
    if (m.n === flash) {
      node.classList.add("flash");
      flash = 0;
    }
    return node;
  },
  shown(first, last, [top, bottom]) {
    seen = [c.base + top, Math.min(c.n, c.base + bottom)];
    fillSoon(c.base + first, c.base + last);
    markRead();
    showJump();
  },
};

const scroller = new Scroller($("scroll"), $("feed"), source);
let seen = [0, 0];

// ---- loading

let filling = 0;

function fillSoon(lo, hi) {
  const now = performance.now();
  const run = () => {
    filling = 0;
    if (c?.ready && state.ready) fill(c, c.base + Math.max(0, range[0] - c.base - AHEAD), range[1] + AHEAD);
  };
  range = [lo, hi];
  if (filling) return;
  const wait = Math.max(0, filledAt + FILL - now);
  filling = setTimeout(run, wait);
}

let range = [0, 0];
let filledAt = 0;

async function fill(channel, lo, hi) {
  filledAt = performance.now();
  $("feed").setAttribute("aria-busy", "true");
  try {
    await channel.fill(request, lo, hi);
    channel.trim(lo, hi);
  } catch (err) {
    if (state.ready) toast(`Older messages cannot be loaded. ${explain(err)}`, { error: true });
  }
  if (channel === c) $("feed").setAttribute("aria-busy", "false");
}

// ---- opening

// open shows a channel: where it was left, at what is new, or at a message.
export async function open(channel, n = 0) {
  leave();
  c = channel;
  state.active = c;
  c.fresh = c.unread > 0 ? c.firstUnread() : 0;
  draw();
  if (!c.ready) {
    scroller.reset();
    $("scroll").classList.add("loading");
    try {
      await c.load(request);
    } catch (err) {
      if (channel === c) failed(err);
      return;
    } finally {
      if (channel === c) $("scroll").classList.remove("loading");
    }
    if (channel !== c) return;
    if (c.unread > 0) c.fresh = c.firstUnread(); // who wrote the messages is known now
  }
  learn(c);
  if (n) return goTo(n);
  if (c.fresh > 0) return begin(c.fresh, 120);
  if (c.place) return begin(c.place.n, c.place.offset);
  begin();
}

// learn asks who is in a channel, and how far they have read.
function learn(channel) {
  if (channel.kind !== "private" && channel.kind !== "group") return;
  members(channel).then(() => {
    events.emit("messages", channel);
    events.emit("described", channel);
  }, () => {}); // the next start asks again
}

function failed(err) {
  if (err.code === "unavailable" || !state.ready) return; // the next start opens it again
  toast(explain(err), { error: true });
}

// begin draws the messages anew: from a message on, or the end.
function begin(n = 0, offset = 0) {
  draw();
  const row = rowOf(Math.max(n, c.base));
  scroller.reset(n && row < source.count() ? { row, offset } : null);
}

// leave notes where one was.
export function leave() {
  if (!c) return;
  if (c.ready && !scroller.stuck) {
    const { row, offset } = scroller.place();
    c.place = { n: c.base + row, offset };
  } else {
    c.place = null;
  }
  c = state.active = null;
  scroller.reset();
}

// goTo brings a message into sight and points at it.
export function goTo(n) {
  if (n < c.base || n > c.n) return toast("That message is not there any more.");
  flash = n;
  const node = scroller.node(n);
  scroller.show(rowOf(n), Math.round($("scroll").clientHeight / 3));
  if (node?.isConnected && flash === n && !node.classList.contains("blank")) {
    flash = 0;
    node.classList.remove("flash");
    requestAnimationFrame(() => node.classList.add("flash"));
  }
}

// ---- what is around the messages

function draw() {
  const empty = c.ready && source.count() === 0;
  $("empty").hidden = !empty;
  $("empty-text").textContent = c.kind === "private" ? `This is the beginning of what ${titleOf(c)} and you say to each other.` : "Nobody has said anything yet.";
  $("feed").hidden = source.count() === 0; // a feed is to have something in it
  drawTyping();
}

function drawTyping() {
  const names = c ? [...c.typing.values()].map((t) => t.name) : [];
  $("typing").textContent = names.length > 0 ? `${listNames(names)} ${names.length > 1 ? "are" : "is"} typing…` : "";
}

const looking = () => document.visibilityState === "visible" && document.hasFocus() && $("talk").checkVisibility();

function markRead() {
  if (!c?.ready || !looking() || !state.ready) return;
  const shown = scroller.stuck ? c.n : seen[1];
  if (shown > c.read && c.messages.has(shown)) readTo(c, shown);
}

function showJump() {
  const away = !scroller.stuck && c.n + c.pending.length - seen[1] > 0;
  $("jump").hidden = !away;
  const { unread } = c;
  $("jump-count").hidden = unread === 0;
  $("jump-count").textContent = unread > 999 ? "999+" : String(unread);
  $("jump").ariaLabel = unread > 0 ? plural(unread, "new message") : "To the newest message";
}

$("jump").onclick = () => {
  if (c.unread > 0 && c.fresh > seen[1]) return scroller.show(rowOf(c.fresh), 120);
  scroller.toEnd();
  compose();
};

// ---- what happens

events.on("messages", (channel) => {
  if (channel !== c) return;
  draw();
  scroller.later();
});
events.on("reset", (channel) => {
  if (channel !== c) return;
  const place = scroller.stuck ? null : scroller.place();
  begin(place ? c.base + place.row : 0, place?.offset);
});
events.on("arrived", (channel, m) => {
  if (channel !== c) return;
  if (c.people && (c.people.get(m.from)?.role ?? "invited") === "invited") learn(c); // somebody has come
  const isNew = m.n > c.read;
  if (isNew && (!scroller.stuck || !looking()) && c.fresh <= c.read) c.fresh = c.firstUnread();
  $("heard").textContent = `${m.name}: ${plain(m).slice(0, 300)}`;
});
events.on("stored", (channel, item, m) => channel === c && scroller.rename(item.cid, m.n));
events.on("typing", (channel) => channel === c && drawTyping());
events.on("started", () => {
  if (!c) return;
  if (!c.ready) return open(c);
  learn(c);
  scroller.later();
});
for (const event of ["visibilitychange", "focus"]) globalThis.addEventListener(event, markRead, true);

// sent is called when something was written here: one sees it, and nothing is new any more.
export function sent() {
  c.fresh = 0;
  scroller.toEnd();
}

// ---- what one can do with a message

function messageOf(node) {
  const row = node.closest(".row");
  if (!row) return {};
  const m = row.dataset.cid ? c.pending.find((p) => p.cid === row.dataset.cid) : c.messages.get(Number(row.dataset.n));
  return { row, m };
}

const isOwn = (m) => m.from === state.me.id;
const mayDelete = (m) => isOwn(m) || (c.kind === "group" && ["owner", "admin"].includes(c.role));
const mayEdit = (m) => isOwn(m) && m.n !== undefined && !m.deleted && !m.gone && Boolean(m.text);

function actions(m) {
  const list = [{ icon: "reply", label: "Reply", run: () => replyTo(m) }];
  if (m.text) list.push({ icon: "copy", label: "Copy text", run: () => copyText(m.text) });
  if (mayEdit(m)) list.push({ icon: "edit", label: "Edit", run: () => editing(m) });
  const readers = isOwn(m) && c.kind === "group" ? whoRead(c, m) : [];
  if (readers.length > 0) list.push({ icon: "checks", label: `Read by ${listNames(readers)}`, run: () => {} });
  if (mayDelete(m)) list.push({ icon: "bin", label: "Delete", danger: true, run: () => remove(m) });
  return list;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser does not allow to copy.", { error: true });
  }
}

async function remove(m) {
  const yes = await ask("Delete this message?", `It goes away for everybody: “${plain(m).slice(0, 120)}”`, "Delete", { danger: true });
  if (!yes) return;
  try {
    arrive(await request("im.delete", { channel: m.channel, n: m.n }));
  } catch (err) {
    toast(explain(err), { error: true });
  }
}

const DO = {
  reply: (m) => replyTo(m),
  more: (m, button) => menu(button, actions(m)),
  quoted: (m) => goTo(m.reply),
  look: (m) => look([...c.messages.values()].filter((x) => x.picture).sort((a, b) => a.n - b.n), m),
  again: (m) => again(c, m),
  discard: (m) => discard(c, m),
};

$("feed").addEventListener("click", (event) => {
  const { row, m } = messageOf(event.target);
  if (!m) return;
  const button = event.target.closest("[data-do]");
  if (button) {
    row.classList.remove("active");
    return DO[button.dataset.do](m, button);
  }
  // Where nothing hovers, a tap shows what one can do.
  if (matchMedia("(hover: none)").matches && event.target.closest(".bubble") && !event.target.closest("a")) {
    const on = row.classList.contains("active");
    for (const other of $("feed").querySelectorAll(".row.active")) other.classList.remove("active");
    row.classList.toggle("active", !on);
  }
});

$("feed").addEventListener("contextmenu", (event) => {
  const { m } = messageOf(event.target);
  if (!m || m.n === undefined || m.deleted || m.gone || event.target.closest("a, img") || !getSelection().isCollapsed) return;
  event.preventDefault();
  menu({ x: event.clientX, y: event.clientY }, actions(m));
});

// ---- the keyboard: arrows go from message to message, letters do something with one

for (const [event, tabIndex] of [["focusin", 0], ["focusout", -1]]) {
  $("feed").addEventListener(event, ({ target }) => {
    for (const tool of target.closest(".row")?.querySelectorAll(".tools button") ?? []) tool.tabIndex = tabIndex;
  });
}

function step(row, by) {
  const all = [...$("feed").children];
  const to = all[all.indexOf(row) + by];
  if (!to) return;
  to.focus({ preventScroll: true });
  to.scrollIntoView({ block: "nearest" });
}

$("scroll").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { row, m } = messageOf(event.target);
  if (event.key === "End") {
    event.preventDefault();
    return scroller.toEnd();
  }
  if (event.key === "Home") {
    event.preventDefault();
    return scroller.show(0, 0);
  }
  const by = { ArrowUp: -1, ArrowDown: 1, PageUp: -8, PageDown: 8 }[event.key];
  if (by && event.key.startsWith("Arrow")) {
    event.preventDefault();
    const from = row ?? (by < 0 ? scroller.node(seen[1])?.nextElementSibling : scroller.node(seen[0])?.previousElementSibling) ?? scroller.node(seen[1]);
    if (from) step(from, by);
    return;
  }
  if (event.target !== row || m?.n === undefined || m.deleted || m.gone) return;
  const act = { r: () => replyTo(m), e: () => mayEdit(m) && editing(m), Delete: () => mayDelete(m) && remove(m), Enter: () => menu(row.querySelector(".bubble"), actions(m)) }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// lastOwn returns the last message that one has written and can edit.
export function lastOwn() {
  for (let n = c.n; n > c.n - 50; n--) {
    const m = c.messages.get(n);
    if (m && mayEdit(m)) return m;
  }
  return null;
}

