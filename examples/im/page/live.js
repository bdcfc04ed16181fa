// A live room: what very many people say flies over a picture, merged by the tick; and counters.
//
// Both the picture and the list beside it hold so much and no more, however loud the room is.
import { $, explain, plural, tone } from "./dom.js";
import { request, tell } from "./connection.js";
import { events, freshId, state } from "./store.js";
import { toast } from "./ui.js";
import { el } from "./words.js";

const LISTED = 100; // bullets in the list
const LANE = 38; // pixels
const SPEED = 110; // pixels a second
const HEARTS = 24; // hearts in the air
const LOOK = 30_000; // ms between two looks at how many are where
const LIKES = 250; // ms within which likes are counted together

let room = null; // {id, title, viewers}
let counts = {};
let lanes = []; // until when each is taken
let seen = new Set(); // ids of bullets that are shown
let likes = 0;
let liking;

const still = matchMedia("(prefers-reduced-motion: reduce)");

// loadRooms asks which live rooms there are. A server without any has none.
export async function loadRooms() {
  try {
    const { rooms } = await request("live.rooms", {});
    state.rooms = rooms ?? [];
  } catch {
    state.rooms = [];
  }
  events.emit("rooms");
}

setInterval(() => state.ready && !document.hidden && state.rooms.length > 0 && loadRooms(), LOOK);

// enter opens a live room.
export async function enter(id) {
  await leaveRoom();
  room = state.room = { id, title: state.rooms.find((r) => r.id === id)?.title ?? "Live", viewers: 0 };
  clear();
  await join();
}

async function join() {
  const mine = room;
  try {
    const reply = await request("live.enter", { channel: mine.id });
    if (room !== mine) return;
    Object.assign(room, { title: reply.title, viewers: reply.viewers });
    counts = reply.counts ?? {};
    for (const bullet of reply.recent ?? []) list(bullet);
    $("live-says").scrollTop = $("live-says").scrollHeight;
  } catch (err) {
    if (room === mine && state.ready) toast(explain(err), { error: true });
  }
  if (room === mine) draw();
}

export async function leaveRoom() {
  if (!room) return;
  const { id } = room;
  room = state.room = null;
  clear();
  if (state.ready) await request("live.leave", { channel: id }).catch(() => {}); // the server notes the end of the connection, too
}

function clear() {
  counts = {};
  lanes = [];
  seen = new Set();
  $("live-fly").replaceChildren();
  $("live-says").replaceChildren();
  $("live-dropped").textContent = "";
}

function draw() {
  const listed = state.rooms.find((r) => r.id === room.id);
  if (listed && listed.viewers !== room.viewers) {
    listed.viewers = room.viewers;
    events.emit("rooms");
  }
  $("live-title").textContent = room.title;
  $("live-viewers").textContent = plural(room.viewers ?? 0, "viewer");
  $("live-likes").textContent = new Intl.NumberFormat("en", { notation: "compact" }).format(counts.like ?? 0);
}

// ---- what is said

events.on("tick", (tick) => {
  if (room?.id !== tick.channel) return;
  for (const bullet of tick.bullets ?? []) show(bullet);
  if (tick.counts) {
    const more = (tick.counts.like ?? 0) - (counts.like ?? 0);
    Object.assign(counts, tick.counts);
    for (let i = 0; i < Math.min(more, 6); i++) heart();
  }
  if (tick.viewers !== undefined) room.viewers = tick.viewers;
  $("live-dropped").textContent = tick.dropped ? `${tick.dropped} more, too fast to be read` : "";
  draw();
});

function show(bullet) {
  if (seen.has(bullet.id)) return;
  list(bullet);
  fly(bullet);
}

// list puts a bullet under those that were said.
function list(bullet) {
  if (seen.has(bullet.id)) return;
  seen.add(bullet.id);
  if (seen.size > 2000) seen = new Set([...seen].slice(-1000));
  const says = $("live-says");
  const atEnd = says.scrollHeight - says.clientHeight - says.scrollTop < 40;
  const own = bullet.from === state.me.id;
  says.append(el("p", { class: own ? "own" : "" }, el("strong", { class: "name", "data-tone": tone(bullet.name) }, bullet.name), " ", bullet.text));
  while (says.children.length > LISTED) says.firstElementChild.remove();
  if (atEnd) says.scrollTop = says.scrollHeight;
}

// fly sends a bullet over the picture, in a lane where none is in its way. Where there is none,
// only the list has it.
function fly(bullet) {
  const stage = $("live-fly");
  if (still.matches || document.hidden || stage.clientWidth === 0) return;
  const now = performance.now();
  const own = bullet.from === state.me.id;
  const count = Math.max(1, Math.floor(stage.clientHeight / LANE));
  let lane = 0;
  while (lane < count && (lanes[lane] ?? 0) > now) lane++;
  if (lane === count) {
    if (!own) return;
    lane = Math.floor(Math.random() * count);
  }
  const node = el("span", { class: own ? "bullet own" : "bullet" }, bullet.text);
  node.style.top = `${lane * LANE}px`;
  stage.append(node);
  const width = node.offsetWidth;
  const way = stage.clientWidth + width;
  const flight = node.animate([{ transform: `translateX(${stage.clientWidth}px)` }, { transform: `translateX(${-width}px)` }], { duration: (way / SPEED) * 1000 });
  flight.onfinish = () => node.remove();
  lanes[lane] = now + ((width + 30) / SPEED) * 1000;
}

$("live-form").onsubmit = async (event) => {
  event.preventDefault();
  const text = $("live-text").value.trim();
  if (!text || !room) return;
  const mine = room;
  $("live-text").value = "";
  try {
    const bullet = await request("live.say", { channel: mine.id, cid: freshId(), text });
    if (room === mine) show(bullet);
  } catch (err) {
    if (room === mine && $("live-text").value === "") $("live-text").value = text;
    toast(explain(err), { error: true });
  }
};

// ---- likes

$("live-like").onclick = () => {
  if (!room) return;
  heart();
  likes++;
  counts.like = (counts.like ?? 0) + 1;
  draw();
  liking ??= setTimeout(() => {
    liking = undefined;
    if (room) tell("live.count", { channel: room.id, key: "like", add: Math.min(likes, 50) });
    likes = 0;
  }, LIKES);
};

function heart() {
  const sky = $("live-hearts");
  if (still.matches || document.hidden || sky.children.length >= HEARTS) return;
  const node = el("span", { class: "heart" }, "♥");
  node.dataset.tone = String(Math.floor(Math.random() * 12));
  sky.append(node);
  const drift = (Math.random() - 0.5) * 90;
  node.animate([{ transform: "translate(0, 0) scale(.6)", opacity: 1 }, { transform: `translate(${drift}px, -240px) scale(1.3)`, opacity: 0 }], { duration: 1600 + Math.random() * 900, easing: "ease-out" }).onfinish = () => node.remove();
}

events.on("started", () => {
  loadRooms();
  if (room) join();
});
