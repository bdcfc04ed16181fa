// What is shown of one room: its messages, who came and left, days, and where the unread ones begin. Each room
// has a log of its own, which is put into the page while the room is looked at.
import { avatar, clock, dayName, dayOf, el, isSticker, listNames, tone, words } from "./dom.js";

const TOGETHER = 4 * 60_000; // messages of one person this close, in ms, stand together
const MOST = 400; // elements kept; the oldest go
const SPARE = 100;

export class RoomLog {
  #list = el("ol", { class: "log" });
  element = el("div", { role: "log", "aria-label": "Messages" }, this.#list);
  outbox = el("ol", { class: "log outbox", "aria-label": "Messages that are not sent yet" });
  scrollTop = null; // where the reader was; null is the end

  #before = null; // the message above, if the next may stand together with it: {from, at, node}
  #day = "";
  #notice = null; // the notice at the end, which the next one joins: {node, changes}
  #fresh = null; // the line above the unread messages

  get isEmpty() {
    return this.#list.children.length === 0 && this.outbox.children.length === 0;
  }

  // message adds what somebody said.
  message({ from, text, at }, own) {
    if (this.#day !== dayOf(at)) {
      this.divider(dayName(at), "day");
      this.#day = dayOf(at);
    }
    const above = this.#before;
    const follows = above !== null && above.from === from && at - above.at < TOGETHER;
    if (follows) above.node.classList.add("followed");
    const node = bubble(from, text, own, at);
    if (follows) node.classList.add("follows");
    this.#append(node);
    this.#before = { from, at, node };
  }

  // pending shows a message that has not reached the server yet. The result says how it goes on.
  pending(from, text) {
    const node = bubble(from, text, true, null);
    const status = el("p", { class: "status" });
    node.querySelector(".body").append(status);
    if (this.#before?.from === from || this.outbox.lastChild) node.classList.add("follows");
    this.outbox.append(node);
    const say = (state, ...content) => {
      node.dataset.state = state;
      status.replaceChildren(...content);
    };
    return {
      node,
      sending: () => say("sending", "Sending…"),
      waiting: () => say("waiting", "Waiting for the connection"),
      failed: (why, again, discard) =>
        say(
          "failed",
          el("span", { role: "alert" }, `Not sent. ${why}`),
          el(
            "span",
            { class: "choices" },
            el("button", { type: "button", class: "link", onclick: again }, "Try again"),
            el("button", { type: "button", class: "link", onclick: discard }, "Discard"),
          ),
        ),
      remove: () => node.remove(),
    };
  }

  // came and went report people. Reports in a row become one line, and who only lost the connection for a moment
  // is said to be back.
  came(name) {
    this.#change(name, (before) => (before === "left" ? "back" : "joined"));
  }

  went(name) {
    this.#change(name, (before) => (before === "joined" ? "passed" : "left"));
  }

  #change(name, next) {
    if (this.#notice === null) {
      const node = el("li", { class: "notice" });
      this.#append(node);
      this.#notice = { node, changes: new Map() };
    }
    const { node, changes } = this.#notice;
    changes.set(name, next(changes.get(name)));
    const who = (state) => [...changes].filter(([, s]) => s === state).map(([n]) => n);
    const parts = [];
    for (const [state, verb] of [["joined", "joined"], ["left", "left"], ["passed", "looked in"]]) {
      if (who(state).length > 0) parts.push(`${listNames(who(state))} ${verb}`);
    }
    const back = who("back");
    if (back.length > 0) parts.push(`${listNames(back)} ${back.length === 1 ? "is" : "are"} back`);
    node.textContent = parts.join(" · ");
  }

  // divider adds a line across the log with a few words on it.
  divider(text, kind) {
    const node = el("li", { class: `divider ${kind}` }, el("span", {}, text));
    this.#append(node);
    return node;
  }

  // startFresh marks where the unread messages begin; what follows is unread. endFresh takes the mark away.
  startFresh() {
    this.endFresh();
    this.#fresh = this.divider("New", "fresh");
  }

  endFresh() {
    this.#fresh?.remove();
    this.#fresh = null;
  }

  get fresh() {
    return this.#fresh;
  }

  #append(node) {
    this.#list.append(node);
    this.#notice = null;
    this.#before = null;
    if (this.#list.children.length > MOST + SPARE) {
      while (this.#list.children.length > MOST) this.#list.firstChild.remove();
    }
  }
}

// bubble is one message. at is null while it is not sent.
function bubble(from, text, own, at) {
  const head = el("p", { class: "from" }, el("span", { class: "name", "data-tone": tone(from), dir: "auto" }, own ? "You" : from));
  if (at !== null) head.append(" ", clock(at));
  const node = el(
    "li",
    { class: "message" },
    avatar(from),
    el("div", { class: "body" }, head, el("p", { class: "bubble", dir: "auto" }, ...words(text))),
  );
  node.classList.toggle("own", own);
  node.classList.toggle("sticker", isSticker(text));
  return node;
}
