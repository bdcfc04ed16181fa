// The cluster's chat: finding one's way to a room, and staying there when nodes die. What is known
// of the nodes is drawn in map.js; the connection is the package nano-websocket-client, from
// clients/js.
import { Connection, NanoError } from "./nano-websocket-client.js";
import { $, avatar, clock, el, explain, listNames, plural, sentence, words } from "./dom.js";
import { Map as ClusterMap } from "./map.js";
import { People } from "./people.js";

const PING_EVERY = 2000; // ms
const PING_TIMEOUT = 2500;

// Nothing waits in the connection: what is written while it is away waits for the room, which may
// be elsewhere then.
const client = new Connection("/nano", { queue: 0 });
const map = new ClusterMap();
const people = new People(() => me.name, line);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const me = { name: "", room: "" };
let settling = null; // finding the way to the room, as a promise
let settled = false; // in the room, as far as is known
let inside = false; // the session is in the room, whether or not there is a connection
let changing = false; // people have come or gone while the answer to joining was on its way
let outbox = []; // what was written and is not known to be said: {text, ref, item}
const seen = new Set(); // messages that are in the log, by their key

// ---- the way to the room

// settle finds the backend that has the room, and goes in; again and again, until it is there or
// the connection is gone. A dead backend needs no more than that: the gate chooses among the
// living.
function settle() {
  settled = false;
  settling ??= attempt().finally(() => (settling = null));
  return settling;
}

async function attempt() {
  for (let tries = 0; me.name && client.state === "open" && !settled; tries++) {
    const { name, room } = me;
    try {
      const { gate, overview } = await client.request("gate.enter", { name }, { timeout: 4000 });
      map.at("gate", gate);
      map.draw(overview);
      changing = false;
      const reply = await client.request("chat.join", { room, name }, { timeout: 2500 });
      if (room !== me.room) continue; // meanwhile one wants to be elsewhere
      if (changing) continue; // the answer may be older than what was told: ask again
      arrived(reply);
      say("");
    } catch (err) {
      if (!(err instanceof NanoError)) throw err;
      if (client.state !== "open") return;
      if (err.code === "invalid_argument" || err.code === "resource_exhausted") return out(err);
      if (tries === 0) map.note(`no backend for #${room} right now`, "bad");
      map.at("backend", null);
      showPeople();
      say("The backend is away. Looking for another…");
      await pause(250 + Math.random() * 350);
    }
  }
  flush();
}

// arrived is called with the room as the backend tells it to who comes.
function arrived(reply) {
  if (map.backend && map.backend !== reply.backend) map.note(`#${reply.room} is on ${reply.backend} now`, "good");
  map.at("backend", reply.backend, reply.addr);
  inside = true;
  show(reply);
}

// lost is called when the backend has not answered as it should.
function lost(err) {
  if (!settled || client.state !== "open") return;
  if (err.code === "not_found") {
    map.note(`${map.backend ?? "the backend"} is gone, or was started again`, "bad");
  } else if (err.code === "deadline_exceeded") {
    map.note(`${map.backend ?? "the backend"} does not answer`, "bad");
  } else {
    map.note(`${map.backend ?? "the backend"} is gone`, "bad");
  }
  inside = false;
  map.at("backend", null, "", err.code === "deadline_exceeded" ? "silent" : "gone");
  showPeople();
  settle();
}

async function watch() {
  for (;;) {
    await pause(PING_EVERY);
    if (!settled || client.state !== "open") continue;
    await client.request("chat.ping", {}, { timeout: PING_TIMEOUT }).catch(lost);
  }
}

// GONE is why a connection has ended, where its reason is a program's word.
const GONE = { "server shutdown": "it was shut down", "slow consumer": "this page has not read what it sent" };

// What is lost for a moment only is not shown: the session goes on, perhaps at another gate, and
// nothing of it is lost.
const GENTLE = 1500; // ms
let quiet; // the timer
let latest;
client.on("state", (change) => {
  latest = change;
  if (settled && (change.state === "waiting" || change.state === "connecting")) {
    quiet ??= setTimeout(() => changed(latest), GENTLE);
    return;
  }
  clearTimeout(quiet);
  quiet = undefined;
  changed(change);
});

function changed({ state, reason, error, retryAt, resumed, gap }) {
  const word = { connecting: "Connecting…", open: "Connected", waiting: "Gate away", closed: "Disconnected" }[state];
  $("welcome-connection").dataset.state = state;
  $("welcome-connection").querySelector(".words").textContent = word;
  map.connected(state === "open");
  if (state === "waiting" || quiet !== undefined) {
    if (settled || map.gateUp) map.note(`the gate is gone: ${GONE[reason] ?? reason}`, "bad");
    map.at("gate", null);
    if (me.name) say("Your gate is away. What you write is sent when it is back.", retryAt);
  }
  if (state === "connecting" && !$("banner").hidden) say($("banner-text").textContent);
  if (state !== "open") {
    settled = false;
    map.at("backend", null, "", "unknown");
    showPeople();
  }
  if (state === "closed" && error.code !== "unavailable") { // else one has left
    map.at("gate", null);
    ended(error);
  }
  if (state === "open") {
    if (map.gateLost) map.note("the gate is back", "good");
    inside &&= resumed && !gap; // after a gap, joining again tells what was missed
    if (inside) goOn();
    else if (me.name) settle();
  }
}

// goOn is for a session that has a new connection. That may be at another gate.
async function goOn() {
  settled = true;
  say("");
  map.at("backend", map.backend);
  showPeople();
  flush();
  try {
    const before = map.gate;
    const { gate, overview } = await client.request("gate.enter", { name: me.name }, { timeout: 4000 });
    if (gate !== before) map.note(`you are at ${gate} now`, "good");
    map.at("gate", gate);
    map.draw(overview);
  } catch (err) {
    if (!(err instanceof NanoError)) throw err; // the next connection asks again
  }
}

client.onPush("cluster.overview", (overview) => map.draw(overview));
client.onPush("chat.moved", () => {
  map.note("the room moves to another backend", "bad");
  inside = false;
  settle();
});
client.onPush("chat.here", (reply) => { // the room has moved, and one's place in it
  if (inside && reply.room.toLowerCase() === me.room.toLowerCase()) arrived(reply);
});
client.onPush("chat.people", ({ people: list }) => {
  if (!settled) {
    changing = true; // perhaps this is of where one was: the answer tells who is here
    return;
  }
  people.changed(list);
  showPeople();
});
client.onPush("chat.message", message);
client.onPush("chat.recent", ({ recent }) => recent.forEach(message));

// ---- what is said

function show({ room, people: list, recent, you }) {
  $("welcome").hidden = true;
  $("app").hidden = false;
  $("title").textContent = `#${room}`;
  document.title = `#${room} · nano cluster`;
  $("path-you").textContent = me.name;
  $("path").title = `The backend sees you as ${you}`;
  people.entered(list);
  settled = true;
  showPeople();
  recent.forEach(message);
}

// showPeople says who is here. Without a way to the room nobody knows.
function showPeople() {
  const { others } = people;
  if (!settled) $("people").textContent = client.state === "open" ? "Looking for the room…" : "Not connected";
  else $("people").textContent = others.length ? `You and ${listNames(others)}` : "Only you are here";
}

function message(m) {
  const own = m.from === me.name;
  const sent = own && outbox.find((waiting) => waiting.ref === m.ref);
  if (sent) drop(sent); // also if the answer was lost
  const key = m.ref ? `${m.from} ${m.ref}` : `${m.at} ${m.from} ${m.text}`;
  if (seen.has(key)) return;
  seen.add(key);
  if (seen.size > 1000) seen.delete(seen.values().next().value);
  const meta = el("p", { class: "meta" }, el("b", {}, own ? "You" : m.from), el("span", { class: "via" }, m.gate), clock(m.at));
  put(el("li", { class: own ? "message own" : "message" }, avatar(m.from), el("div", { class: "body" }, meta, el("div", { class: "bubble" }, ...words(m.text)))));
}

// line adds a notice to the log.
function line(text) {
  return put(el("li", { class: "line" }, text));
}

// put adds to the log, and keeps its end in sight if it was.
function put(item) {
  const box = $("scroll");
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  $("log").append(item);
  while ($("log").children.length > 300) $("log").firstChild.remove();
  if (atEnd) box.scrollTop = box.scrollHeight;
  return item;
}

// say shows in the banner what is wrong, and how long it is until the next attempt.
let countdown;
function say(text, retryAt = 0) {
  clearInterval(countdown);
  if ($("banner-text").textContent !== text) $("banner-text").textContent = text; // it is read out
  $("banner").hidden = text === "";
  const count = () => {
    const left = Math.ceil((retryAt - Date.now()) / 1000);
    $("banner-count").textContent = left > 0 ? `Trying again in ${left} s` : "Trying again…";
  };
  $("banner-count").hidden = client.state === "open";
  if (client.state === "open") return;
  count();
  countdown = setInterval(count, 500);
}

// flush says what waits, in order. What the backend has not confirmed stays, and is said again
// where the room is then, under the same mark: if it came through before, nobody sees it twice.
let flushing = false;
async function flush() {
  if (flushing) return;
  flushing = true;
  while (outbox.length > 0 && settled && client.state === "open") {
    const next = outbox[0];
    try {
      await client.request("chat.say", { text: next.text, ref: next.ref }, { timeout: PING_TIMEOUT });
      drop(next);
    } catch (err) {
      if (err.code === "resource_exhausted") {
        await pause(1000);
      } else if (["unavailable", "deadline_exceeded", "not_found", "kicked"].includes(err.code)) {
        lost(err);
        break;
      } else {
        $("text-error").textContent = `Not sent: ${explain(err)}`;
        drop(next);
      }
    }
  }
  flushing = false;
}

function drop(message) {
  outbox = outbox.filter((other) => other !== message);
  message.item.remove();
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text-error").textContent = text ? "" : "Write something first.";
  if (!text) return;
  $("text").value = "";
  outbox.push({ text, ref: newRef(), item: put(el("li", { class: "line waiting" }, `Not sent yet: ${text}`)) });
  flush();
});

const newRef = () => Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(16).padStart(2, "0")).join("");

// ---- coming in, and going elsewhere

$("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("name").value.trim().replace(/\s+/g, " ");
  if (!name) {
    $("enter-error").textContent = "A name is needed.";
    return $("name").focus();
  }
  $("enter-error").textContent = "";
  me.name = name;
  enterRoom($("room").value.trim().replace(/^#/, "") || "lobby");
  $("app").hidden || $("text").focus();
});

$("go").addEventListener("submit", async (event) => {
  event.preventDefault();
  const room = $("other").value.trim().replace(/^#/, "");
  if (!room || room === me.room) return;
  $("other").value = "";
  inside = false;
  if (settled) await client.request("chat.leave", {}).catch(() => {}); // the old room may be on another backend
  const unsent = outbox.length;
  const old = me.room;
  forget();
  if (unsent > 0) $("text-error").textContent = `${plural(unsent, "message")} to #${old} ${unsent === 1 ? "was" : "were"} not sent.`;
  enterRoom(room);
});

function enterRoom(room) {
  me.room = room;
  history.replaceState(null, "", `#${encodeURIComponent(room)}`);
  if (client.state === "open") settle();
  else $("enter-error").textContent = "The gate cannot be reached right now; this goes on when it is back.";
}

// forget clears what belongs to the room that one has left.
function forget() {
  outbox = [];
  seen.clear();
  people.clear();
  $("log").replaceChildren();
  $("text-error").textContent = "";
  map.at("backend", null, "", "unknown");
}

// out goes back to the welcome. With the connection the sign-in ends, and the place in the room:
// the gate tells the backend.
function out(why) {
  me.name = "";
  inside = false;
  client.close("left");
  forget();
  say("");
  $("app").hidden = true;
  $("welcome").hidden = false;
  document.title = "nano cluster";
  $("enter-error").textContent = why ? sentence(why.message) : "";
  $("name").focus();
  client.open();
}

$("leave").addEventListener("click", () => out());

// ended asks what to do after the gate has ended the connection for good.
function ended({ code, message }) {
  const elsewhere = code === "kicked" && message === "signed in elsewhere";
  $("ended-title").textContent = elsewhere ? "You came in somewhere else" : "The gate ended the connection";
  $("ended-text").textContent = elsewhere
    ? `Somebody came in as ${me.name} after you, at this gate or at another one, and a person can be here only once.`
    : message && message !== code ? sentence(message) : "It gave no reason.";
  $("ended").showModal();
}

$("ended").addEventListener("cancel", (event) => event.preventDefault()); // it wants an answer
$("ended-back").addEventListener("click", () => {
  $("ended").close();
  client.open();
});
$("ended-out").addEventListener("click", () => {
  $("ended").close();
  out();
});

$("path").addEventListener("click", () => {
  const open = $("app").toggleAttribute("data-map");
  $("path").setAttribute("aria-expanded", String(open));
});

try {
  $("room").value = decodeURIComponent(location.hash.slice(1));
} catch {
  // not an address that this page has made
}
client.open();
watch();
