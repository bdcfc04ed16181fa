// The arena's page: puts the parts together, and has a clock.
//
//   input.js     what people want        net.js        to the server and back
//   predict.js   one's own disc, now     timeline.js   the others, a little earlier
//   view.js      both in one picture     draw.js       the picture
//   glide.js     after a time away
//   lobby.js     before the game         hud.js        around it
//
// ?lag=150 in the address makes the network slower by so many milliseconds. P switches the
// prediction off and on, N shows the figures of the network, H the rules, L changes the lag, M is
// the sound.
import { $, plural } from "./dom.js";
import { Effects } from "./effects.js";
import { Glide } from "./glide.js";
import { Hud } from "./hud.js";
import { Controls } from "./input.js";
import { Lobby } from "./lobby.js";
import { Net } from "./net.js";
import { Painter } from "./draw.js";
import { Prediction } from "./predict.js";
import { Sound } from "./sound.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { HUES, compose, rounds } from "./view.js";
import { TICK } from "./physics.js";

const KEPT = "nano-arena"; // in the tab: who plays where, for a reload
const CATCH_UP = 5; // ticks in a frame, at most: what a page has missed in the background is not played
const LAGS = [0, 100, 200, 400]; // ms

const sound = new Sound();
const hud = new Hud(sound);
const effects = new Effects({
  hit: (strength, mine) => sound.play("hit", mine ? 0.3 + strength : strength * 0.4),
  fall: () => sound.play("fall"),
});
const stage = new Stage($("stage"));
const painter = new Painter(stage, effects);
const timeline = new Timeline();
const prediction = new Prediction();
const glide = new Glide();
const lobby = new Lobby((name, room) => play({ name, room }));
const lag = Math.max(0, Math.min(2000, Number(new URLSearchParams(location.search).get("lag")) || 0));

let people = new Map(); // Player, by place
let playing; // {name, room, token}, while one does
let predicting = true;
let view;
let nextTick = 0; // when the next input is due
let corrected = 0; // when a snapshot was last taken

// ---- what comes from the server

const net = new Net("/nano", lag, {
  state: (change) => lobby.connection(change),
  lobby: (reply) => lobby.opened(reply),
  rooms: (overview) => lobby.list(overview),
  joined(reply) {
    timeline.clear();
    effects.clear();
    glide.clear();
    prediction.reset(reply.you);
    const moved = playing.backend && playing.backend !== reply.backend;
    playing = { ...playing, token: reply.token, backend: reply.backend };
    sessionStorage.setItem(KEPT, JSON.stringify(playing));
    lobby.hide();
    lobby.rules(reply.round);
    rounds(reply.round);
    hud.begun();
    $("room-name").textContent = reply.room;
    $("where").textContent = net.gate === net.backend ? "" : `${net.gate} → ${net.backend}`;
    document.title = `${reply.room} · nano arena`;
    $("stage").focus({ preventScroll: true });
    if (reply.back) hud.news("You are back");
    if (moved) hud.news(`The room is on ${reply.backend} now, and begins anew`);
  },
  resumed() {
    glide.begin(view);
    corrected = performance.now(); // snapshots are on their way
  },
  lost(why) {
    hud.banner(why);
    if ($("game").hidden) lobby.say(why, true);
  },
  left(why) {
    corrected = 0;
    playing = view = undefined;
    sessionStorage.removeItem(KEPT);
    people = new Map();
    hud.banner();
    lobby.show(why);
  },
  snapshot(s) {
    const now = performance.now();
    timeline.add(s, now);
    prediction.correct(s, alpha(now));
    glide.arrived();
    corrected = now;
  },
  players(list) {
    const me = list.players.find((p) => p.id === net.you);
    const before = people.get(net.you);
    if (me?.easy && !before?.easy) hud.news("The bots go easy on you for now");
    if (me && !me.easy && before?.easy) hud.news("From now on the bots mean it");
    people = new Map(list.players.map((p) => [p.id, p]));
    hud.players(list.players, net.you, HUES);
  },
  out({ who, by }) {
    hud.news(by < 0 ? `${nameOf(who)} fell over the rim` : `${nameOf(by)} pushed ${who === net.you ? "you" : nameOf(who)} over the rim`);
    const at = view?.discs.find((d) => d.id === by);
    if (at?.alive) effects.word(at.x, at.y, "+1", at.hue);
    if (by === net.you) sound.play("point");
  },
  took({ who, what }) {
    const at = view?.discs.find((d) => d.id === who);
    sound.play("took");
    if (!at?.alive) return;
    effects.word(at.x, at.y, { 1: "Heavy!", 2: "Freeze!", 3: "Blast!" }[what], at.hue);
    if (what === 3) effects.blast(at.x, at.y);
  },
  round({ n, over, winner }) {
    if (!over) return hud.news(`Round ${n} begins`);
    hud.over(winner, [...people.values()], net.you, HUES);
    effects.confetti(view?.rim ?? 300, HUES[winner]);
    sound.play("win");
  },
});

const nameOf = (id) => (id === net.you ? "You" : (people.get(id)?.name ?? "Somebody"));

function play(who) {
  playing = who;
  net.play(who.name, who.room, who.token ?? "");
}

// ---- the clock

// alpha is how much of the tick under way has passed.
const alpha = (now) => Math.max(0, Math.min(1, 1 - (nextTick - now) / TICK));

const controls = new Controls($("stage"), $("dash"), (x, y) => {
  const own = view?.discs.find((d) => d.mine && d.alive);
  if (!own) return [0, 0];
  const [wx, wy] = stage.from(x, y);
  return [(wx - own.x) / 110, (wy - own.y) / 110];
});

// ticks makes the inputs that are due: twenty a second, whatever the screen does.
function ticks(now) {
  if (now - nextTick > CATCH_UP * TICK) nextTick = now;
  for (; nextTick <= now; nextTick += TICK) {
    const wanted = prediction.tick(controls.take());
    net.send(wanted);
    if (wanted.dash) sound.play("dash");
  }
}

let last = performance.now();
function frame(now) {
  requestAnimationFrame(frame);
  now = performance.now(); // of this moment: that of the frame may lie before the last snapshot
  const ms = now - last;
  last = now;
  if (!playing) return;
  if (net.live) ticks(now);
  prediction.melt(ms);
  const past = timeline.at(now);
  if (!past) return;
  view = glide.apply(compose(past, predicting ? prediction.at(alpha(now)) : undefined, net.you, people), ms);
  const s = Math.min(ms, 100) / 1000;
  effects.step(view, s);
  painter.paint(view, s);
  painter.stick(controls.stick);
  hud.frame(view, net.you, stale(now));
  document.documentElement.toggleAttribute("data-touch", controls.touched);
}
requestAnimationFrame(frame);

// stale tells whether what is seen may be otherwise by now: nothing has come for a while.
const stale = (now) => !net.joined || now - corrected > 1500;

// What the page cannot do without snapshots is to go on: it says so, and shows no figures of what
// is not there.
setInterval(() => {
  if (!playing) return;
  const old = stale(performance.now());
  if (net.live && old && corrected && !document.hidden) hud.banner("Nothing comes from the server…");
  else if (net.live) hud.banner();
  if (old) return hud.readout(Object.fromEntries(["ping", "size", "rate", "ahead", "error", "gate", "backend"].map((id) => [`net-${id}`, "–"])));
  hud.readout({
    "net-ping": `${Math.round(net.ping)} ms`,
    "net-size": `${net.size} bytes`,
    "net-rate": `${(net.rate / 1000).toFixed(1)} kB/s`,
    "net-ahead": plural(prediction.pending.length, "input"),
    "net-error": predicting ? prediction.error.toFixed(1) : "off",
    "net-gate": net.gate,
    "net-backend": net.backend,
  });
}, 250);

// ---- buttons and keys

const toggles = {
  sound: () => $("sound").setAttribute("aria-pressed", String(sound.toggle())),
  readout: () => panel("readout"),
  rules: () => panel("rules-panel"),
  predict() {
    predicting = !predicting;
    $("predict").setAttribute("aria-pressed", String(predicting));
    hud.news(predicting ? "Prediction is on" : "Prediction is off: you see yourself as late as the others");
  },
  lag() {
    net.lag = LAGS[(LAGS.findIndex((l) => l >= net.lag) + 1) % LAGS.length];
    showLag();
    hud.news(`The network is slower by ${net.lag} ms`);
  },
};
// panel opens one of the two panels, or closes it.
function panel(which) {
  for (const [id, button] of [["readout", "readout-toggle"], ["rules-panel", "rules-toggle"]]) {
    const open = id === which && $(id).hidden;
    $(id).hidden = !open;
    $(button).setAttribute("aria-pressed", String(open));
  }
}

const showLag = () => ($("lag").textContent = `Lag: +${net.lag} ms`);
showLag();
$("sound").addEventListener("click", toggles.sound);
$("readout-toggle").addEventListener("click", toggles.readout);
$("rules-toggle").addEventListener("click", toggles.rules);
$("predict").addEventListener("click", toggles.predict);
$("lag").addEventListener("click", toggles.lag);
$("leave").addEventListener("click", () => net.leave());
// Space is for dashing, and not for the button that was clicked last.
$("hud").addEventListener("click", (event) => event.detail > 0 && $("stage").focus({ preventScroll: true }));
addEventListener("keydown", (event) => {
  const key = { KeyM: "sound", KeyN: "readout", KeyH: "rules", KeyP: "predict", KeyL: "lag" }[event.code];
  if (!playing || !key || event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input")) return;
  toggles[key]();
});

const measure = () => {
  const head = $("hud").getBoundingClientRect();
  const narrow = matchMedia("(max-width: 700px)").matches;
  stage.keepClear(head.bottom + (narrow ? $("scores").getBoundingClientRect().height : 0), narrow ? 110 : 30);
};
new ResizeObserver(measure).observe($("game"));
new ResizeObserver(measure).observe($("scores"));

// A reload goes on where one was.
const kept = sessionStorage.getItem(KEPT);
if (kept) play(JSON.parse(kept));

// What is seen, for tests and for the curious.
globalThis.arena = {
  get view() {
    return view;
  },
  get people() {
    return [...people.values()];
  },
  net,
  prediction,
  stage,
};
