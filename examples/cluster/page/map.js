// What is known of the cluster: which gates and backends there are, how many are on each, where one is oneself, and
// what has happened.
import { $, el, listNames, plural, sync } from "./dom.js";

const KEEP = 30; // events
const OLD = 3500; // ms: what was not heard of for longer may be otherwise by now; nodes and gates tell once a second
const FILLING = 5000; // ms in which a master that was started again hears of the nodes

export class Map {
  gate = null; // the names of the nodes that one is on
  backend = null;
  gateUp = false;
  gateLost = false; // it was there before
  #here = { gate: null, backend: null }; // where one is now
  #nodes = null; // the nodes of the last overview, by name; heard is when they were, on this page's clock
  #told = 0; // when that came
  #live = false; // there is a connection to the gate
  #master = 0; // the pid of the one that told it
  #filling = 0; // until when a new master's overview may lack nodes

  constructor() {
    setInterval(() => this.#age(), 500);
  }

  // connected says whether anything can be heard at all.
  connected(live) {
    this.#live = live;
    this.#age();
  }

  // at says on which gate or backend one is; null: on none, for a reason.
  at(role, name, addr = "", why = "gone") {
    if (role === "gate") {
      this.gateLost = !name && (this.gateUp || this.gateLost);
      this.gateUp = Boolean(name);
    }
    if (name) this[role] = name;
    this.#here[role] = name;
    const hop = $(`path-${role}`);
    hop.querySelector("b").textContent = name ?? (why === "unknown" ? "…" : { gone: "gone", silent: "no answer" }[why]);
    if (!name && why === "unknown") delete hop.dataset.state;
    else hop.dataset.state = name ? "good" : "bad";
    if (addr) hop.title = addr;
    this.#mark();
  }

  // note adds a line to what has happened.
  note(text, kind = "") {
    const now = new Date();
    const item = el("li", { "data-kind": kind }, el("time", { dateTime: now.toISOString() }, now.toLocaleTimeString()), el("span", {}, text));
    $("events").prepend(item);
    while ($("events").children.length > KEEP) $("events").lastChild.remove();
  }

  // draw shows an overview, and notes what is different from the one before.
  draw({ nodes } = {}) {
    if (!nodes?.length) return;
    const before = this.#nodes;
    const now = performance.now();
    nodes = nodes.map((node) => ({ ...node, heard: now - node.ago }));
    const master = nodes.find((node) => node.role === "master")?.pid ?? 0;
    if (this.#master && master && master !== this.#master) this.#filling = now + FILLING;
    this.#master = master || this.#master;
    if (before && now < this.#filling) {
      // It does not know yet who is there: the others are as they were.
      for (const [name, node] of before) if (!nodes.some((other) => other.name === name)) nodes.push(node);
      nodes.sort((a, b) => a.name.localeCompare(b.name));
    }
    this.#nodes = new globalThis.Map(nodes.map((node) => [node.name, node]));
    this.#told = now;
    if (before) this.#compare(before, this.#nodes);

    const of = (role) => nodes.filter((node) => node.role === role);
    const most = Math.max(1, ...of("gate").map((node) => node.users), ...of("chat").map((node) => node.users));
    for (const [list, role] of [["gates", "gate"], ["backends", "chat"], ["masters", "master"]]) {
      sync($(list), of(role), (node) => node.addr, (item, node) => this.#node(item, node, most));
    }
    this.#mark();
    this.#age();
  }

  // age shows how old what is known is: of each node, and of all.
  #age() {
    if (!this.#nodes) return;
    const now = performance.now();
    const old = (node) => !this.#live || node.silent || now - node.heard > OLD;
    for (const item of document.querySelectorAll(".nodes > li")) {
      const node = this.#nodes.get(item.dataset.name);
      if (!node) continue;
      const stale = old(node);
      item.dataset.state = stale ? "stale" : "good";
      const number = item.querySelector(".number");
      const text = stale ? `last heard ${Math.max(1, Math.round((now - node.heard) / 1000))} s ago` : number.dataset.fresh;
      if (number.textContent !== text) number.textContent = text;
    }
    const nodes = [...this.#nodes.values()];
    const users = nodes.filter((node) => node.role === "gate" && !old(node)).reduce((sum, node) => sum + node.users, 0);
    const known = this.#live && now - this.#told <= OLD;
    $("users").textContent = known ? plural(users, "user") : "";
    $("agree").textContent = this.#summary(nodes, old, known);
    $("map").toggleAttribute("data-stale", !known);
  }

  #summary(nodes, old, known) {
    if (!this.#live) return "Not connected: this is how it was.";
    if (!known) return "Nothing is heard of the master: this is how it was. The chat goes on without it.";
    const living = nodes.filter((node) => !old(node));
    const silent = nodes.filter(old).map((node) => node.name);
    if (silent.length > 0) return `${plural(nodes.length, "node")}. Nothing is heard of ${listNames(silent)}.`;
    const blind = living.filter((node) => living.some((other) => other !== node && !node.sees?.includes(other.addr)));
    if (blind.length === 0) return `${plural(nodes.length, "node")}, all see each other`;
    return `${plural(nodes.length, "node")}. ${listNames(blind.map((node) => node.name))} ${blind.length === 1 ? "does" : "do"} not see all of them yet.`;
  }

  #compare(before, now) {
    for (const [name, node] of now) {
      const old = before.get(name);
      if (!old) this.note(`${name} has joined`, "good");
      else if (node.silent && !old.silent) this.note(`${name} has fallen silent`, "bad");
      else if (!node.silent && old.silent) this.note(`${name} is heard again`, "good");
    }
    for (const name of before.keys()) if (!now.has(name)) this.note(`${name} has left the cluster`, "bad");
  }

  #node(item, node, most) {
    const { role, name, addr, users, rooms = [], page, pid } = node;
    const draw = JSON.stringify([name, users, rooms, page, pid, most]);
    if (item.dataset.drawn === draw) return;
    item.dataset.drawn = draw;
    item.dataset.name = name;
    const head = el("p", { class: "node-head" }, el("span", { class: "dot", "aria-hidden": "true" }), el("b", {}, name), el("span", { class: "here", hidden: true }, "you are here"));
    const count = role === "gate" ? plural(users, "user") : plural(users, "person", "people");
    head.append(el("span", { class: "number", "data-fresh": role === "master" ? "" : count }));
    const parts = [head];
    if (role !== "master") {
      parts.push(el("meter", { class: "share", min: 0, max: most, value: users, title: `${users} of at most ${most}` }));
    }
    if (rooms.length) parts.push(el("p", { class: "rooms" }, ...rooms.slice(0, 6).map((r) => el("span", {}, `#${r.name} ${r.users}`)), rooms.length > 6 ? `and ${rooms.length - 6} more` : ""));
    const where = page ? el("a", { href: page + location.hash }, page.replace("http://", "")) : addr;
    parts.push(el("p", { class: "quiet where" }, where, el("span", { class: "pid" }, `pid ${pid}`)));
    item.replaceChildren(...parts);
  }

  // mark shows which of the nodes one is on.
  #mark() {
    for (const item of document.querySelectorAll(".nodes > li")) {
      const here = Object.values(this.#here).includes(item.dataset.name);
      item.toggleAttribute("data-here", here);
      const badge = item.querySelector(".here");
      if (badge) badge.hidden = !here;
    }
  }
}
