// The playground: a client of the node's own, which calls the routes of the cluster. The form is
// made of what the nodes say of them (api/describe); the connection is the package
// nano-websocket-client, from clients/js. Payloads that are no JSON are made and read by the node
// that has the route.
import { get, post } from "./api.js";
import { el, text, toast } from "./dom.js";
import { asJSON, newForm } from "./form.js";
import { base64, fromBase64, shown } from "./payload.js";
import { Connection, bytes } from "./vendor/nano/nano-websocket-client.js";

const KEPT = 200; // entries of what has happened

export const playground = {
  id: "playground",
  title: "Playground",
  stream: "nodes",
  icon: "M7 5v14l11-7z",
  open(root) {
    const view = new Playground(root);
    return { close: () => view.close() };
  },
};

class Playground {
  #client;
  #routes = [];
  #pushes = new Map(); // from their routes to the nodes that push
  #defs = {};
  #at = {}; // from services to nodes
  #serializer = "json";
  #reading = 0; // payloads that a node reads now
  #told = Promise.resolve(); // the last entry of what has happened is there
  #form;
  #heard = new Set(); // routes whose pushes are shown

  #url = input({ value: "/nano" });
  #user = el("textarea", { rows: 2, spellcheck: false, autocomplete: "off", placeholder: "{}" });
  #connect = el("button", { class: "secondary", type: "submit" }, "Connect");
  #state = el("p", { class: "connection", role: "status" }, el("span", { class: "dot", "aria-hidden": "true" }), el("span", { class: "words" }, "Not connected"));
  #route = input({ placeholder: "Room.Join" });
  #names = el("datalist", { id: "play-routes" });
  #about = el("p", { class: "quiet" });
  #missing = el("p", { class: "quiet", hidden: true });
  #fields = el("div", { class: "fields" });
  #raw = el("textarea", { rows: 6, spellcheck: false, autocomplete: "off", "aria-label": "Payload as JSON", value: "{}" });
  #asJSON = el("input", { type: "checkbox", class: "check" });
  #request = el("button", { class: "primary", type: "submit" }, "Request");
  #notify = el("button", { class: "secondary", type: "button" }, "Notify");
  #push = input({ placeholder: "onMessage" });
  #happened = el("ol", { class: "happened", "aria-label": "What has happened, the newest first" });

  constructor(root) {
    this.#route.setAttribute("list", this.#names.id);
    const connection = el("form", { class: "find" },
      labeled("Address, on this host and port", this.#url, "wide"), labeled("User of the handshake, as JSON", this.#user, "wide"), this.#connect, this.#state);
    connection.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#toggle();
    });
    const call = el("form", { class: "play-card fields" },
      labeled("Route", this.#route), this.#names, this.#about, this.#missing,
      el("label", { class: "checked" }, this.#asJSON, "Write JSON"),
      this.#fields, this.#raw,
      el("div", { class: "buttons" }, this.#request, this.#notify));
    call.noValidate = true;
    call.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send("request");
    });
    this.#notify.addEventListener("click", () => this.#send("notify"));
    this.#route.addEventListener("input", () => this.#choose());
    this.#asJSON.addEventListener("change", () => this.#switch());
    const listen = el("form", { class: "find" }, labeled("Show the pushes of another route", this.#push, "wide"), el("button", { class: "secondary" }, "Show"));
    listen.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#push.value.trim()) this.#hear(this.#push.value.trim(), true);
      this.#push.value = "";
    });
    root.append(
      el("header", { class: "head" }, el("h1", {}, "Playground"), el("p", { class: "quiet" }, "You are a client of this node, with a session of your own.")),
      connection, el("div", { class: "play" }, call, el("section", { class: "play-card fields", "aria-label": "Answers and pushes" }, listen, this.#happened)));
    this.#switch();
    this.#describe();
  }

  async #describe() {
    try {
      const { serializer, services, elsewhere = [], $defs = {}, at, errors = {} } = await get("describe");
      this.#serializer = serializer;
      this.#defs = $defs;
      this.#at = at;
      this.#routes = services.flatMap(({ routes }) => routes).filter(({ nodesOnly }) => !nodesOnly);
      for (const { name, pushes = [] } of services) for (const { route } of pushes) this.#pushes.set(route, at[name]);
      this.#names.replaceChildren(...this.#routes.map(({ route }) => el("option", { value: route })));
      for (const route of this.#pushes.keys()) this.#hear(route);
      if (!this.#route.value && this.#routes.length) this.#route.value = this.#routes[0].route;
      this.#choose();
      const missing = Object.entries(errors).map(([node, why]) => `${node} says nothing of its routes: ${why}.`);
      if (elsewhere.length) missing.push(`Nothing is known of the routes of ${elsewhere.join(", ")}.`);
      text(this.#missing, missing.join(" "));
      this.#missing.hidden = !missing.length;
    } catch (err) {
      toast(err.message, true);
    }
  }

  get #chosen() {
    return this.#routes.find(({ route }) => route === this.#route.value);
  }

  // choose makes the form of the route.
  #choose() {
    const chosen = this.#chosen;
    const known = chosen?.request.schema;
    this.#form = known ? newForm(known, this.#defs) : undefined;
    this.#fields.replaceChildren(...(this.#form ? [this.#form.root] : []));
    this.#asJSON.disabled = !this.#form;
    const forms = { request: "It answers requests.", notify: "It answers nothing: notify it.", unknown: "The node does not say whether it answers." };
    const asItStands = this.#serializer === "json" ? "" : " The text goes as it stands.";
    text(this.#about, chosen ? (chosen.request.raw ? "It takes bytes: the text goes as it stands. " : "") + forms[chosen.form] : `No node says what it takes.${asItStands}`);
    this.#request.hidden = chosen?.form === "notify";
    this.#notify.hidden = chosen?.form === "request";
    this.#switch();
  }

  // switch shows the form, or JSON in its place, which begins with what the form holds.
  #switch() {
    const raw = this.#asJSON.checked || !this.#form;
    if (raw && this.#form && this.#raw.hidden) {
      try {
        this.#raw.value = JSON.stringify(JSON.parse(this.#form.json()), null, 2);
      } catch {
        // not filled in yet: the text stays as it was
      }
    }
    this.#raw.hidden = !raw;
    this.#fields.hidden = raw;
  }

  #payload() {
    if (this.#form && !this.#asJSON.checked) return this.#form.json();
    const chosen = this.#chosen;
    const isJSON = chosen ? !chosen.request.raw : this.#serializer === "json";
    return isJSON ? asJSON(this.#raw.value || "{}") : this.#raw.value;
  }

  // encode makes a payload of what #payload has returned.
  async #encode(route, payload) {
    const chosen = this.#chosen;
    if (this.#serializer === "json" || !chosen || chosen.request.raw) return new TextEncoder().encode(payload);
    return fromBase64((await post("encode", { node: this.#nodeOf(route), route, payload })).base64);
  }

  // read makes a text of an answer, or of a push. Of a flood of them, some stay bytes.
  async #read(route, data, push, known) {
    if (this.#serializer === "json" || !known || this.#reading >= 16) return shown(data);
    this.#reading++;
    try {
      const node = push ? this.#pushes.get(route) : this.#nodeOf(route);
      const { payload } = await post("decode", { node, route, push, base64: base64(data) });
      return shown(new TextEncoder().encode(payload)); // JSON in lines
    } catch (err) {
      return `${shown(data)}\n(${err.message})`;
    } finally {
      this.#reading--;
    }
  }

  #nodeOf(route) {
    return this.#at[route.slice(0, route.lastIndexOf("."))];
  }

  #toggle() {
    if (this.#client && this.#client.state !== "closed") return this.#client.close();
    let user;
    try {
      user = JSON.parse(asJSON(this.#user.value || "{}"));
      this.#client = new Connection(new URL(this.#url.value, location.href).href.replace(/^http/, "ws"), { user, serializer: bytes, timeout: 30_000, queue: 0, reconnect: false });
    } catch (err) {
      return toast(err.message, true);
    }
    this.#client.on("state", (now) => this.#changed(now));
    const heard = this.#heard;
    this.#heard = new Set();
    for (const route of heard) this.#hear(route);
    this.#client.open();
  }

  #changed({ state, reason }) {
    const words = { connecting: "Connecting…", open: "Connected", waiting: "Waiting", closed: "Not connected" };
    this.#state.dataset.state = state;
    text(this.#state.querySelector(".words"), words[state]);
    text(this.#connect, state === "closed" ? "Connect" : "Disconnect");
    if (state === "closed") this.#note("end", "The connection ended", reason || "");
  }

  #hear(route, tell = false) {
    if (this.#heard.has(route)) return;
    this.#heard.add(route);
    this.#client?.onPush(route, (data) => this.#note("push", route, this.#read(route, data, true, this.#pushes.has(route))));
    if (tell) this.#note("note", `Pushes of ${route} are shown from now on`, "");
  }

  async #send(kind) {
    const route = this.#route.value.trim();
    let payload;
    try {
      if (!route) throw new Error("Name a route first.");
      if (this.#client?.state !== "open") throw new Error("Connect first.");
      payload = this.#payload();
    } catch (err) {
      return toast(err.message, true);
    }
    const known = this.#chosen?.response?.schema;
    let began;
    try {
      const data = await this.#encode(route, payload);
      began = performance.now();
      if (kind === "notify") {
        this.#client.notify(route, data);
        return this.#note("note", `${route} notified`, payload);
      }
      const reply = await this.#client.request(route, data);
      this.#note("answer", `${route} answered after ${took(began)}`, this.#read(route, reply, false, known), payload);
    } catch (err) {
      if (began === undefined) return toast(err.message, true); // there is no such payload
      this.#note("error", `${route} failed after ${took(began)}`, `${err.code}: ${err.message}`, payload);
    }
  }

  // note adds what has happened, the newest first. What is read for it later keeps its place.
  #note(kind, title, what, sent) {
    const at = new Date();
    const add = async () => this.#add(kind, title, at, await what, sent);
    this.#told = this.#told.then(add, add);
  }

  #add(kind, title, at, what, sent) {
    const parts = [el("p", { class: "what" }, el("b", {}, title), el("time", { class: "quiet" }, at.toLocaleTimeString()))];
    if (sent !== undefined) parts.push(el("p", { class: "quiet" }, `sent ${sent}`));
    if (what) parts.push(el("pre", { tabIndex: 0, role: "region", "aria-label": title }, what));
    const entry = el("li", { "data-kind": kind }, ...parts);
    this.#happened.prepend(entry);
    if (kind === "answer" || kind === "error") entry.scrollIntoView({ block: "nearest" }); // on a phone it is below the form
    while (this.#happened.children.length > KEPT) this.#happened.lastChild.remove();
  }

  close() {
    this.#client?.close();
  }
}

const took = (began) => `${(performance.now() - began).toFixed(1)} ms`;

function input(props) {
  return el("input", { autocomplete: "off", spellcheck: false, autocapitalize: "off", ...props });
}

let labels = 0;

function labeled(label, node, kind = "") {
  node.id ||= `play-${++labels}`;
  return el("div", { class: `field ${kind}` }, el("label", { for: node.id }, label), node);
}
