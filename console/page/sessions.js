// The sessions: find one by its user, id, address or group, see what it holds on each node, and end
// it.
import { get, post } from "./api.js";
import { ask, el, text, toast } from "./dom.js";
import { ago, bytes, clock, count, ms, plural, since } from "./format.js";
import { Table } from "./table.js";

const KINDS = [["uid", "User"], ["id", "Session id"], ["address", "Address"], ["group", "Group at the gate"]];
const EVERY = 3000; // ms between looks, as long as the answer is short

const ns = (n) => n / 1e6; // to milliseconds

export const sessions = {
  id: "sessions",
  title: "Sessions",
  icon: "M12 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7M5 20a7 7 0 0 1 14 0",
  open(root, state, params) {
    const view = new Sessions(root, state);
    view.go(params);
    return view;
  },
};

class Sessions {
  #state;
  #summary = el("p", { class: "quiet", role: "status" });
  #kind = el("select", { id: "by" }, ...KINDS.map(([value, words]) => el("option", { value }, words)));
  #value = el("input", { id: "value", type: "search", autocomplete: "off", spellcheck: false, enterKeyHint: "search" });
  #table;
  #panel = el("aside", { class: "panel", hidden: true, "aria-labelledby": "session-title" });
  #timer;
  #closed = false;
  #open = null; // {node, id} of the session in the panel
  #asked = 0;

  constructor(root, state) {
    this.#state = state;
    this.#table = new Table("Sessions", [
      { title: "User", of: (s) => s.uid ?? "–", class: "name" },
      { title: "Session", of: (s, row) => row.querySelector(".link") ?? this.#link(s), class: "name" },
      { title: "Gate", of: (s) => state.nameOf(s.node) },
      { title: "Address", of: (s) => s.address ?? "" },
      { title: "By", of: (s) => (s.suspended ? `${s.transport}, away` : s.transport ?? "") },
      { title: "For", number: true, of: (s) => since(s.since) },
      { title: "In", number: true, of: (s) => (s.traffic ? bytes(s.traffic.bytesIn) : "–") },
      { title: "Out", number: true, of: (s) => (s.traffic ? bytes(s.traffic.bytesOut) : "–") },
      { title: "Waiting", number: true, of: (s) => bytes(s.queued ?? 0), alarm: (s) => s.queued > 65536 },
      { title: "Round trip", number: true, of: (s) => (s.traffic ? ms(ns(s.traffic.rtt)) : "–") },
      { title: "Groups", number: true, of: (s) => count(s.inGroups) },
    ], (s) => `${s.node} ${s.id}`, { empty: "No session fits.", open: (key) => this.#show(...key.split(" ")) });
    const form = el("form", { class: "find", role: "search" },
      el("div", { class: "field" }, el("label", { for: "by" }, "Find by"), this.#kind),
      el("div", { class: "field wide" }, el("label", { for: "value" }, "Which"), this.#value),
      el("button", { class: "primary" }, "Find"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = this.#value.value.trim();
      location.hash = value ? `#/sessions?${new URLSearchParams({ [this.#kind.value]: value })}` : "#/sessions";
      this.#load();
    });
    root.append(el("header", { class: "head" }, el("h1", {}, "Sessions"), this.#summary), form,
      el("div", { class: "beside" }, this.#table.root, this.#panel));
    this.#panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.#hide());
  }

  #link(s) {
    const button = el("button", { class: "link" }, s.id);
    button.addEventListener("click", () => this.#show(s.node, s.id));
    return button;
  }

  // go finds what the address asks for.
  go(params) {
    const [kind] = KINDS.find(([name]) => params[name]) ?? KINDS[0];
    this.#kind.value = kind;
    this.#value.value = params[kind] ?? "";
    this.#load();
  }

  async #load() {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    let again = EVERY;
    try {
      const { nodes, sessions: found } = await get("sessions", { [this.#kind.value]: this.#value.value.trim() });
      if (this.#closed || asked !== this.#asked) return;
      this.#table.show(found);
      const sum = (name) => nodes.reduce((n, node) => n + node[name], 0);
      const [total, matched] = [sum("total"), sum("matched")];
      const silent = nodes.filter(({ error }) => error).map(({ node }) => this.#state.nameOf(node));
      text(this.#summary, `${plural(matched, "session")} of ${count(total)}${matched > found.length ? `, the newest ${found.length} are shown` : ""}.${silent.length ? ` No answer came from ${silent.join(", ")}.` : ""}`);
      if (total > 20_000) again = 0; // looking through that many costs the nodes something: only when one asks
    } catch (err) {
      if (asked === this.#asked) text(this.#summary, err.message);
    }
    if (!this.#closed && again) this.#timer = setTimeout(() => this.#load(), again);
  }

  #hide() {
    this.#open = null;
    this.#panel.hidden = true;
  }

  async #show(node, id) {
    this.#open = { node, id };
    try {
      const answer = await get("session", { node, id });
      if (this.#open?.id === id) this.#draw(answer);
    } catch (err) {
      this.#hide();
      toast(err.message, true);
    }
  }

  #draw({ node, session, elsewhere }) {
    const button = (words, name, act) => {
      const b = el("button", { class: name }, words);
      b.addEventListener("click", act);
      return b;
    };
    const at = { node, id: session.id };
    const facts = [
      ["User", session.uid ?? "nobody"], ["Gate", this.#state.nameOf(node)], ["Address", session.address ?? ""],
      ["Since", `${clock(session.since)}, ${since(session.since)} ago`],
      ["Connection", session.suspended ? "away, may come back" : session.transport],
    ];
    if (session.traffic) {
      const { bytesIn, bytesOut, rtt, quiet } = session.traffic;
      facts.push(["Bytes in, out", `${bytes(bytesIn)}, ${bytes(bytesOut)}`], ["Round trip", ms(ns(rtt))], ["Last heard", ago(ns(quiet))]);
    }
    facts.push(["Waiting bytes", bytes(session.queued ?? 0)]);
    if (session.kept) facts.push(["Kept bytes", bytes(session.kept)]);
    const parts = [
      el("header", {}, el("h2", { id: "session-title", tabIndex: -1 }, `Session ${session.id}`), button("Close", "small", () => this.#hide())),
      el("div", { class: "buttons row" },
        button("Kick", "danger", () => this.#kick(at)),
        button("Send a push", "secondary", () => this.#push(at)),
        button("End it", "secondary", () => this.#end(at))),
      pairs(facts),
      ...this.#holds(`At ${this.#state.nameOf(node)}, its gate`, session),
      ...elsewhere.flatMap((other) => this.#holds(`At ${this.#state.nameOf(other.node)}`, other.session)),
    ];
    this.#panel.replaceChildren(...parts);
    this.#panel.hidden = false;
    this.#panel.querySelector("h2").focus();
  }

  // holds shows what a node keeps of a session.
  #holds(title, { groups = [], inGroups, values = {}, routes = {} }) {
    const parts = [];
    if (groups.length) parts.push(["Groups", groups.join(", ") + (inGroups > groups.length ? ` and ${inGroups - groups.length} more` : "")]);
    for (const [service, node] of Object.entries(routes)) parts.push([`Service ${service}`, this.#state.nameOf(node)]);
    for (const [key, value] of Object.entries(values)) parts.push([key, String(value)]);
    return [el("h3", {}, title), parts.length ? pairs(parts) : el("p", { class: "quiet" }, "No values, no groups.")];
  }

  async #kick(at) {
    const form = await ask({ title: "Kick this session?", lead: "Its client is told the reason and does not come back by itself.", fields: [{ name: "reason", label: "Reason", placeholder: "What the player is told" }], action: "Kick", danger: true });
    if (form) await this.#act("kick", { ...at, reason: form.reason }, "The session was kicked.");
  }

  async #end(at) {
    const yes = await ask({ title: "End this session?", lead: "Its connection is closed without a reason, after what is queued for it.", action: "End it", danger: true });
    if (yes) await this.#act("close", at, "The session was closed.");
  }

  async #push(at) {
    const form = await ask({ title: "Send a push", fields: [{ name: "route", label: "Route", placeholder: "onNotice" }, { name: "payload", label: "Payload, sent as it is", value: "{}", rows: 5 }], action: "Send" });
    if (form) await this.#act("push", { ...at, ...form }, "The push is queued.");
  }

  async #act(what, body, words) {
    try {
      await post(what, body);
      toast(words);
      if (what !== "push") this.#hide();
      this.#load();
    } catch (err) {
      toast(err.message, true);
    }
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

const pairs = (list) => el("dl", { class: "figures" }, ...list.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
