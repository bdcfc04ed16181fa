// What is known of the cluster: which gates and backends there are, how many are on each, where one is oneself, and
// what has happened.
import { $, el, plural, sync } from "./dom.js";

const KEEP = 30; // events

export class Map {
  gate = null; // the names of the nodes that one is on
  backend = null;
  gateUp = false;
  gateLost = false; // it was there before
  #nodes = null; // the nodes of the last overview, by name

  // at says on which gate or backend one is; null: on none, for a reason.
  at(role, name, addr = "", why = "gone") {
    if (role === "gate") {
      this.gateLost = !name && (this.gateUp || this.gateLost);
      this.gateUp = Boolean(name);
    }
    if (name) this[role] = name;
    const hop = $(`path-${role}`);
    hop.querySelector("b").textContent = name ?? (why === "unknown" ? "…" : { gone: "gone", silent: "no answer" }[why]);
    hop.dataset.state = name ? "good" : why === "unknown" ? "" : "bad";
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
    this.#nodes = new globalThis.Map(nodes.map((node) => [node.name, node]));
    if (before) this.#compare(before, this.#nodes);

    const of = (role) => nodes.filter((node) => node.role === role);
    const most = Math.max(1, ...of("gate").map((node) => node.users), ...of("chat").map((node) => node.users));
    for (const [list, role] of [["gates", "gate"], ["backends", "chat"], ["masters", "master"]]) {
      sync($(list), of(role), (node) => node.addr, (item, node) => this.#node(item, node, most));
    }
    const users = of("gate").reduce((sum, node) => sum + node.users, 0);
    $("users").textContent = plural(users, "user");
    const living = nodes.filter((node) => !node.silent);
    const blind = living.filter((node) => living.some((other) => other !== node && !node.sees?.includes(other.addr)));
    $("agree").textContent = blind.length === 0 ? `${plural(nodes.length, "node")}, all see each other` : `${blind.map((node) => node.name).join(", ")} not up to date`;
    this.#mark();
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
    const { role, name, addr, users, rooms = [], page, silent } = node;
    const draw = JSON.stringify([name, users, rooms, page, silent, most]);
    if (item.dataset.drawn === draw) return;
    item.dataset.drawn = draw;
    item.dataset.name = name;
    item.dataset.state = silent ? "silent" : "good";
    const head = el("p", { class: "node-head" }, el("span", { class: "dot", "aria-hidden": "true" }), el("b", {}, name), el("span", { class: "here", hidden: true }, "you are here"));
    const count = role === "gate" ? plural(users, "user") : plural(users, "person", "people");
    head.append(el("span", { class: "number" }, silent ? "no answer" : role === "master" ? addr : count));
    const parts = [head];
    if (role !== "master") {
      parts.push(el("meter", { class: "share", min: 0, max: most, value: users, title: `${users} of at most ${most}` }));
    }
    if (rooms.length) parts.push(el("p", { class: "rooms" }, ...rooms.slice(0, 6).map((r) => el("span", {}, `#${r.name} ${r.users}`)), rooms.length > 6 ? `and ${rooms.length - 6} more` : ""));
    const where = page ? el("a", { href: page + location.hash }, page.replace("http://", "")) : addr;
    if (role !== "master") parts.push(el("p", { class: "quiet where" }, where));
    item.replaceChildren(...parts);
  }

  // mark shows which of the nodes one is on.
  #mark() {
    for (const item of document.querySelectorAll(".nodes > li")) {
      const here = [this.gate, this.backend].includes(item.dataset.name);
      item.toggleAttribute("data-here", here);
      const badge = item.querySelector(".here");
      if (badge) badge.hidden = !here;
    }
  }
}
