// Search in the messages of all one's channels, or of one.
import { $, avatar, explain } from "./dom.js";
import { request } from "./connection.js";
import { state, titleOf } from "./store.js";
import { el, highlight, plain, when } from "./words.js";

const WAIT = 200; // ms after the last key

let go;
let turn = 0;
let waiting;
let next = 0;

// wireSearch has the search call open with the channel and number of what is chosen.
export function wireSearch(open) {
  go = open;
  $("find").oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(begin, WAIT);
  };
  $("find-form").onsubmit = (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    begin();
  };
  for (const scope of document.getElementsByName("scope")) scope.onchange = begin;
  $("found-more").onclick = () => more(++turn, $("find").value.trim());
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && state.me) {
      event.preventDefault();
      openSearch();
    }
  });
}

// openSearch opens the panel; in a channel it begins with that.
export function openSearch(c = state.active) {
  $("scope-here").disabled = !c;
  $("scope-here-name").textContent = c ? titleOf(c) : "This channel";
  if (!c) $("scope-all").checked = true;
  if (!$("search").open) $("search").showModal();
  $("find").select();
  $("find").focus();
}

function begin() {
  const find = $("find").value.trim();
  const mine = ++turn;
  next = 0;
  $("found").replaceChildren();
  $("found-more").hidden = true;
  $("found-note").textContent = "";
  if (/[\p{L}\p{N}]/u.test(find)) more(mine, find);
}

async function more(mine, find) {
  const channel = $("scope-here").checked ? state.active?.id : undefined;
  $("found").setAttribute("aria-busy", "true");
  try {
    const reply = await request("im.search", { find, channel, before: next || undefined, limit: 30 });
    if (mine !== turn) return;
    next = reply.next ?? 0;
    $("found").append(...reply.messages.map((m) => draw(m, find)));
    $("found-more").hidden = !next;
    const count = $("found").children.length;
    $("found-note").textContent = count === 0 ? "Nothing was found." : `${count}${next ? " or more" : ""} found`;
  } catch (err) {
    if (mine === turn) $("found-note").textContent = explain(err);
  }
  $("found").setAttribute("aria-busy", "false");
}

function draw(m, find) {
  const c = state.channels.get(m.channel);
  const open = () => {
    $("search").close();
    go(c, m.n);
  };
  return el("li", {}, el("button", { type: "button", class: "hit", onclick: open, disabled: !c },
    avatar(m.name),
    el("span", { class: "line" }, el("strong", { class: "title" }, m.name), el("span", { class: "where" }, c ? titleOf(c) : ""), el("span", { class: "when" }, when(m.at))),
    el("span", { class: "excerpt" }, ...highlight(around(plain(m), find), find))));
}

// around cuts a long text to what stands around the first word that was looked for.
function around(text, find) {
  const at = text.toLowerCase().indexOf(find.toLowerCase().split(/\s+/)[0]);
  return at > 90 ? `…${text.slice(at - 60, at + 140)}` : text.slice(0, 200);
}
