// The cluster's chat: finding one's way to a room, and staying there when nodes die. What is known of the nodes is
// drawn in map.js; the connection is the package nano-websocket-client, from clients/js.
import { Connection, NanoError } from "./nano-websocket-client.js";
import { $, avatar, clock, el, listNames, sentence, words } from "./dom.js";
import { Map as ClusterMap } from "./map.js";

const PING_EVERY = 2000; // ms
const PING_TIMEOUT = 2500;

// Nothing waits in the connection: what is written while it is away waits for the room, which may be elsewhere then.
const client = new Connection("/nano", { queue: 0 });
const map = new ClusterMap();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const me = { name: "", room: "" };
let settling = null; // finding the way to the room, as a promise
let settled = false; // in the room, as far as is known
let outbox = []; // what was written and is not known to be said: {text, item}
const seen = new Set(); // messages that are in the log, by their key

// ---- the way to the room

// settle finds the backend that has the room, and goes in; again and again, until it is there or the connection is
// gone. A dead backend needs no more than that: the gate chooses among the living.
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
      const reply = await client.request("chat.join", { room, name }, { timeout: 2500 });
      if (room !== me.room) continue; // meanwhile one wants to be elsewhere
      if (map.backend && map.backend !== reply.backend) map.note(`#${reply.room} is on ${reply.backend} now`, "good");
      map.at("backend", reply.backend, reply.addr);
      show(reply);
      settled = true;
      say("");
    } catch (err) {
      if (!(err instanceof NanoError)) throw err;
      if (client.state !== "open") return;
      if (err.code === "invalid_argument" || err.code === "resource_exhausted") return out(err.message);
      if (tries === 0) map.note(`no backend for #${room} right now: ${err.message}`, "bad");
      map.at("backend", null);
      say("The backend is away. Looking for another…");
      await pause(250 + Math.random() * 350);
    }
  }
  flush();
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
  map.at("backend", null, "", err.code === "deadline_exceeded" ? "silent" : "gone");
  settle();
}

async function watch() {
  for (;;) {
    await pause(PING_EVERY);
    if (!settled || client.state !== "open") continue;
    await client.request("chat.ping", {}, { timeout: PING_TIMEOUT }).catch(lost);
  }
}

client.on("state", ({ state, reason, error, retryAt }) => {
  const word = { connecting: "Connecting…", open: "Connected", waiting: "Gate away", closed: "Disconnected" }[state];
  $("welcome-connection").dataset.state = state;
  $("welcome-connection").querySelector(".words").textContent = word;
  if (state === "waiting") {
    if (settled || map.gateUp) map.note(`the gate is gone: ${reason}`, "bad");
    settled = false;
    map.at("gate", null);
    map.at("backend", null, "", "unknown");
    if (me.name) say(`Your gate is away (${reason}). Trying again in ${Math.max(1, Math.round((retryAt - Date.now()) / 1000))} s…`);
  }
  if (state === "closed") {
    settled = false;
    if (error.code !== "unavailable") ended(error); // else one has left
  }
  if (state === "open") {
    if (map.gateLost) map.note("the gate is back", "good");
    if (me.name) settle();
  }
});

client.onPush("cluster.overview", (overview) => map.draw(overview));
client.onPush("chat.moved", () => {
  map.note("the room moves to another backend", "bad");
  settle();
});
client.onPush("chat.people", ({ people, joined, left }) => {
  showPeople(people);
  if (joined && joined !== me.name) line(`${joined} joined`);
  if (left) line(`${left} left`);
});
client.onPush("chat.message", message);
client.onPush("chat.recent", ({ recent }) => recent.forEach(message));

// ---- what is said

function show({ room, people, recent, you }) {
  $("welcome").hidden = true;
  $("app").hidden = false;
  $("title").textContent = `#${room}`;
  document.title = `#${room} · nano cluster`;
  $("path-you").textContent = me.name;
  $("path").title = `The backend sees you as ${you}`;
  showPeople(people);
  recent.forEach(message);
}

function showPeople(people) {
  // Behind a gate that has died somebody may be counted for a while who has come back by another.
  const others = new Set(people.map((p) => p.name).filter((name) => name !== me.name));
  $("people").textContent = others.size ? `You and ${listNames([...others])}` : "Only you are here";
}

function message(m) {
  const key = `${m.at} ${m.from} ${m.text}`;
  if (seen.has(key)) return;
  seen.add(key);
  const own = m.from === me.name;
  const meta = el("p", { class: "meta" }, el("b", {}, own ? "You" : m.from), el("span", { class: "via" }, m.gate), clock(m.at));
  put(el("li", { class: own ? "message own" : "message" }, avatar(m.from), el("div", { class: "body" }, meta, el("div", { class: "bubble" }, ...words(m.text)))));
}

const line = (text) => put(el("li", { class: "line" }, text));

// put adds to the log, and keeps its end in sight if it was.
function put(item) {
  const box = $("scroll");
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  $("log").append(item);
  while ($("log").children.length > 300) $("log").firstChild.remove();
  if (atEnd) box.scrollTop = box.scrollHeight;
  return item;
}

const say = (text) => {
  $("banner").textContent = text;
  $("banner").hidden = text === "";
};

// flush says what waits, in order. What the backend has not confirmed stays, and is said again where the room is then:
// a message may come twice if its answer was lost with the backend, but none is lost.
let flushing = false;
async function flush() {
  if (flushing) return;
  flushing = true;
  while (outbox.length > 0 && settled && client.state === "open") {
    const next = outbox[0];
    try {
      await client.request("chat.say", { text: next.text }, { timeout: PING_TIMEOUT });
      drop(next);
    } catch (err) {
      if (err.code === "resource_exhausted") {
        await pause(1000);
      } else if (["unavailable", "deadline_exceeded", "not_found"].includes(err.code)) {
        lost(err);
        break;
      } else {
        $("text-error").textContent = sentence(err.message);
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
  outbox.push({ text, item: put(el("li", { class: "line waiting" }, `sending: ${text}`)) });
  flush();
});

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
  if (settled) await client.request("chat.leave", {}).catch(() => {}); // the old room may be on another backend
  forget();
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
  $("log").replaceChildren();
  $("text-error").textContent = "";
  map.at("backend", null, "", "unknown");
}

// out goes back to the welcome. With the connection the sign-in ends, and the place in the room: the gate tells the backend.
function out(why = "") {
  me.name = "";
  client.close("left");
  forget();
  say("");
  $("app").hidden = true;
  $("welcome").hidden = false;
  document.title = "nano cluster";
  $("enter-error").textContent = why && sentence(why);
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
    : sentence(message);
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

$("room").value = decodeURIComponent(location.hash.slice(1));
client.open();
watch();
