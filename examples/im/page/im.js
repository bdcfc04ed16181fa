// The messenger's page: who comes in, what is open, and what stands around it. Each other part has
// a file of its own.
//
// The address says what is open: #/c/CHANNEL, with /NUMBER for a message in it, and #/live/ROOM. So
// the browser's way back leads from a channel to the list on a phone, and a reload to where one
// was.
import { compose, openComposer } from "./composer.js";
import { KICKS, adopt, client, request } from "./connection.js";
import { showDetails, wireDetails } from "./details.js";
import { $, explain, paintAvatar, plural, sentence } from "./dom.js";
import { draw as drawList, drawFace, inOrder, wireList } from "./list.js";
import { enter as enterRoom, leaveRoom } from "./live.js";
import { restore } from "./outbox.js";
import { wirePeople } from "./people.js";
import { openSearch, wireSearch } from "./search.js";
import { note, post, showWelcome, ways } from "./signin.js";
import { events, state, titleOf } from "./store.js";
import { goTo, leave, open } from "./talk.js";
import { ask, toast, wireTheme } from "./ui.js";

const narrow = matchMedia("(max-width: 820px)");

// ---- coming in and going

async function begin() {
  const params = new URLSearchParams(location.search);
  if (params.get("error")) {
    note(`You were not signed in: ${params.get("error")}`);
    history.replaceState(null, "", "/");
  }
  const { ways: list, me } = await ways();
  if (me) return come(me);
  showWelcome(list, come);
}

function come(me) {
  if (state.me && state.me.id !== me.id) return location.reload(); // nothing of the other one stays
  note("");
  state.me = me;
  $("welcome").hidden = true;
  $("app").hidden = false;
  $("me-name").textContent = me.name;
  paintAvatar($("me-avatar"), me.name);
  client.open();
  drawConnection();
}

// The connection has ended, and does not come back by itself.
events.on("ended", async (err) => {
  if (err.code === "kicked" && KICKS[err.message]) {
    const { title, text, back } = KICKS[err.message];
    if (await ask(title, text, back, { no: "" })) client.open();
    return;
  }
  if (err.code === "kicked" && err.message !== "signed out") {
    if (await ask("You were disconnected", sentence(err.message), "Come back", { no: "" })) client.open();
    return;
  }
  const { ways: list, me } = await ways();
  if (me && err.code !== "kicked") return setTimeout(() => client.open(), 2000);
  note("You are signed out. Who comes?");
  showWelcome(list, come);
});

$("sign-out").onclick = async () => {
  if (!(await ask("Sign out?", "What you have written and what has not been sent yet stays in this browser.", "Sign out"))) return;
  try {
    await post("/auth/logout", {});
    location.assign("/");
  } catch (err) {
    toast(err.message, { error: true });
  }
};

let restored = false;

events.on("started", () => {
  if (!restored) {
    restored = true;
    restore();
    route();
  } else if (state.active) {
    drawHeader();
  }
  drawList();
});

// ---- what is open

const hashOf = (c, n) => `#/c/${encodeURIComponent(c.id)}${n ? `/${n}` : ""}`;

// go opens a channel, a message of it, or a live room, and writes that into the address.
function go(what, n = 0) {
  const hash = what.kind && what.kind !== "live" ? hashOf(what, n) : `#/live/${encodeURIComponent(what.id)}`;
  if (location.hash !== hash) history.pushState(null, "", hash);
  route();
}

// decoded is a part of the address; what is none is nothing.
function decoded(part = "") {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

function route() {
  if (!restored) return;
  const [, where, part, n] = location.hash.split("/");
  const id = decoded(part);
  const c = where === "c" ? state.channels.get(id) : null;
  if (where === "live" && id) return showLive(id);
  if (c) return showChannel(c, Number(n) || 0);
  if (!narrow.matches) {
    const first = inOrder().find((x) => x.role !== "invited") ?? inOrder()[0];
    if (first) return showChannel(first, 0);
  }
  showNothing();
}

function show(view) {
  document.body.dataset.view = view;
  for (const id of ["talk", "live", "nothing"]) $(id).hidden = id !== view;
}

function showNothing() {
  leaveRoom();
  leave();
  openComposer(null);
  showDetails(null);
  show("nothing");
  events.emit("shown");
}

function showChannel(c, n) {
  leaveRoom();
  if (state.active === c && !$("talk").hidden) {
    if (n) goTo(n);
    return;
  }
  show("talk");
  const invited = c.role === "invited";
  leave();
  state.active = c;
  drawHeader();
  $("invitation").hidden = !invited;
  $("composer").hidden = $("stage").hidden = invited;
  openComposer(invited ? null : c);
  showDetails(c);
  if (invited) $("invitation-text").textContent = `You are invited to the group ${titleOf(c)}.`;
  else {
    open(c, n);
    compose();
  }
  events.emit("shown");
}

function showLive(id) {
  if (state.room?.id === id) return;
  leave();
  openComposer(null);
  showDetails(null);
  show("live");
  enterRoom(id).then(() => events.emit("shown"));
}

globalThis.addEventListener("popstate", route);
narrow.addEventListener("change", () => location.hash || route());
for (const button of document.querySelectorAll("[data-back]")) {
  button.onclick = () => {
    const left = state.active?.id ?? state.room?.id ?? "";
    history.pushState(null, "", location.pathname);
    if (narrow.matches) showNothing();
    else route();
    (document.querySelector(`[data-key="${CSS.escape(left)}"] > .channel`) ?? document.querySelector(".channel"))?.focus();
  };
}

// ---- the head of a channel

function drawHeader() {
  const c = state.active;
  if (!c) return;
  $("title").textContent = titleOf(c);
  drawFace($("title-face"), c);
  const online = c.kind === "private" && state.online.has(c.with?.id);
  $("subtitle").textContent = {
    private: online ? "online" : "offline",
    group: plural(c.members, "member"),
    global: "Everybody reads this",
    live: "",
  }[c.kind];
}

events.on("channel", (c) => {
  if (c !== state.active) return;
  drawHeader();
  if (!$("invitation").hidden && c.role !== "invited") reopen(c);
});
for (const event of ["presence", "described"]) events.on(event, drawHeader);
events.on("gone", (c) => {
  if (c !== state.active) return;
  leave();
  history.replaceState(null, "", location.pathname);
  route();
});
events.on("go", (c) => go(c));
events.on("notice", (text, c) => toast(c ? `${text}: ${titleOf(c)}.` : text));

function reopen(c) {
  $("talk").hidden = true; // so that it is opened anew
  showChannel(c, 0);
}

$("accept").onclick = () => answer("im.accept");
$("decline").onclick = () => answer("im.decline");

async function answer(route) {
  const c = state.active;
  try {
    const reply = await request(route, { channel: c.id });
    if (route === "im.accept" && state.channels.has(c.id)) adopt(reply);
  } catch (err) {
    toast(explain(err), { error: true });
  }
}

// ---- the connection

// What is over in a moment is not worth a word: the session goes on, and nothing of it is lost.
const GENTLE = 1600; // ms

let quiet; // the timer

function drawConnection() {
  const now = client.state === "open" ? (state.ready ? "open" : "connecting") : client.state;
  const away = now === "waiting" || now === "connecting";
  if (restored && away && $("connection").dataset.state === "open") {
    quiet ??= setTimeout(showConnection, GENTLE);
  } else if (quiet === undefined || !away) {
    showConnection();
  }
}

function showConnection() {
  clearTimeout(quiet);
  quiet = undefined;
  const mark = $("connection");
  const now = client.state === "open" ? (state.ready ? "open" : "connecting") : client.state;
  mark.dataset.state = now;
  mark.lastElementChild.textContent = { open: "Connected", connecting: "Connecting…", waiting: "Offline", closed: "Disconnected" }[now];
  $("banner").hidden = !restored || now === "open";
}

events.on("connection", drawConnection);
$("banner-button").onclick = () => client.open();
globalThis.addEventListener("online", () => client.state === "waiting" && client.open());

// ---- the rest

wireTheme();
wireList(go);
wireSearch(go);
wirePeople(go);
wireDetails();
$("search-open").onclick = () => openSearch(null);
$("search-here").onclick = () => openSearch();
document.addEventListener("keydown", (event) => {
  if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key) || !restored) return;
  event.preventDefault();
  const list = inOrder();
  const to = list[list.indexOf(state.active) + (event.key === "ArrowDown" ? 1 : -1)];
  if (to) go(to);
});
await begin();
