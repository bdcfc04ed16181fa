// What stands around the stage: the clock, the points, the news, and the figures of the network.
import { $, el, plural, sync } from "./dom.js";
import { RATE } from "./physics.js";
import { OVER, PLAY, READY } from "./wire.js";

const NEWS = 3; // lines
const BEST = 3; // in the table of a round
const NEWS_FOR = 5000; // ms
const READABLE = 1500; // ms

export class Hud {
  #shown = new Map(); // what stands in each element: the page is only touched where something changes
  #said = "";
  #people = ""; // who is there, in words
  #suddenSince; // what was left of the round when its end began
  #readable = 0; // until when the banner stays

  constructor(sound) {
    this.sound = sound;
  }

  // frame shows what changes with time.
  frame(view, me, stale) {
    const seconds = Math.ceil(view.left / RATE);
    this.#flag("game", "stale", stale);
    if (stale) {
      // The last picture stays, greyed: what has become of it nobody knows.
      this.#text("clock", "–:––");
      this.#text("wait", "");
      this.#text("people", "Not connected");
      this.#shout("");
      $("result").hidden = true;
      return;
    }
    this.#text("people", this.#people);
    this.#text("clock", view.phase === PLAY ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : view.phase === READY ? "Ready" : "Over");
    this.#flag("clock", "sudden", view.sudden);
    this.#flag("game", "sudden", view.sudden);
    if (view.phase === READY) this.#shout(String(Math.max(1, seconds)), "count");
    else if (view.phase === PLAY && view.begins) this.#shout("Push!", "go");
    else if (view.sudden && (this.#suddenSince ??= view.left) - view.left < 2 * RATE) this.#shout("Last one standing", "sudden");
    else this.#shout("");
    if (!view.sudden) this.#suddenSince = undefined;
    const own = view.discs.find((d) => d.id === me);
    const out = own && !own.alive && view.phase === PLAY;
    this.#text("wait", !out ? "" : own.back > 0 ? `Back in ${Math.ceil(own.back / RATE)}` : "You are out until the next round");
    $("result").hidden = view.phase !== OVER || !$("result").dataset.round;
    this.#text("next", `Next round in ${seconds}`);
  }

  // players shows who is there, and their points.
  players(players, me, hues) {
    const list = [...players].sort((a, b) => b.points - a.points || a.id - b.id);
    sync(
      $("scores"),
      list,
      (p) => `${p.id} ${p.name}`,
      (item, p) => {
        item.classList.toggle("me", p.id === me);
        item.classList.toggle("away", Boolean(p.away));
        item.title = p.gate ? `by ${p.gate}` : "";
        const kind = p.bot ? "bot" : p.away ? "away" : "";
        item.replaceChildren(
          dot(hues[p.id]),
          el("span", { class: "who" }, p.name),
          ...(kind ? [el("small", {}, kind)] : []),
          ...(p.wins ? [el("span", { class: "wins", title: plural(p.wins, "round won", "rounds won") }, `♛${p.wins}`)] : []),
          el("b", { class: "points" }, String(p.points)),
        );
      },
    );
    const people = players.filter((p) => !p.bot).length;
    this.#people = [plural(people, "person", "people"), plural(players.length - people, "bot")].map((part) => part.replace(" ", "\u00a0")).join(", ");
  }

  // over shows who has won, and the table.
  over(winner, players, me, hues) {
    const won = players.find((p) => p.id === winner);
    $("result").dataset.round = "shown";
    $("winner").replaceChildren(...(won ? [dot(hues[won.id]), won.id === me ? "You win!" : `${won.name} wins!`] : ["Nobody wins"]));
    // The winner is the first, and others with as many points share a rank. Whoever is far behind is shown, too, if it
    // is oneself.
    const all = [...players].sort((a, b) => (b.id === winner) - (a.id === winner) || b.points - a.points);
    const rank = (p) => (p.id === winner ? 1 : 1 + all.filter((o) => o.id === winner || o.points > p.points).length);
    const shown = all.filter((p, i) => i < BEST || p.id === me);
    $("table").replaceChildren(
      ...shown.map((p) => el("li", { class: p.id === me ? "me" : "" }, el("small", {}, `${rank(p)}.`), dot(hues[p.id]), el("span", {}, p.id === me ? `${p.name} (you)` : p.name), el("b", {}, String(p.points)))),
    );
    const own = all.find((p) => p.id === me);
    $("own").textContent = own ? `You are ${ordinal(rank(own))} of ${all.length}, with ${plural(own.points, "point")}.` : "";
    this.news(won ? `${won.id === me ? "You have" : `${won.name} has`} won the round` : "The round is over, and nobody has won");
  }

  begun() {
    delete $("result").dataset.round;
    $("result").hidden = true;
  }

  // news adds a line, which is read out too, and goes after a while.
  news(text) {
    const line = el("li", {}, text);
    $("news").append(line);
    while ($("news").children.length > NEWS) $("news").firstChild.remove();
    setTimeout(() => line.remove(), NEWS_FOR);
  }

  // banner says what is wrong, until it is called without a text, and long enough to be read.
  banner(text = "") {
    const now = performance.now();
    if (text) this.#readable = now + READABLE;
    else if (now < this.#readable) return;
    this.#text("banner", text);
    $("banner").hidden = text === "";
  }

  // readout shows the figures of the network.
  readout(figures) {
    for (const [id, text] of Object.entries(figures)) this.#text(id, text);
  }

  #shout(text, sound) {
    if (text === this.#said) return;
    this.#said = text;
    const box = $("shout");
    box.textContent = text;
    box.classList.remove("on");
    if (!text) return;
    void box.offsetWidth; // the animation begins anew
    box.classList.add("on");
    this.sound.play(sound);
  }

  #text(id, text) {
    if (this.#shown.get(id) === text) return;
    this.#shown.set(id, text);
    $(id).textContent = text;
  }

  #flag(id, name, on) {
    const key = `${id}.${name}`;
    if (this.#shown.get(key) === on) return;
    this.#shown.set(key, on);
    $(id).toggleAttribute(`data-${name}`, on);
  }
}

function ordinal(n) {
  return `${n}${{ 1: "st", 2: "nd", 3: "rd" }[n] ?? "th"}`; // there are no more than eight
}

function dot(hue) {
  const node = el("i", { class: "disc", "aria-hidden": "true" });
  node.style.setProperty("--hue", hue);
  return node;
}
