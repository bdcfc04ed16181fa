// The playground: a client of the node's own, which calls its routes. The form is made of what the
// node says of them (api/describe); the connection is the package nano-websocket-client, from
// clients/js.
import { get } from "./api.js";
import { el, text, toast } from "./dom.js";
import { asJSON, newForm } from "./form.js";
import { Connection, bytes } from "./vendor/nano/nano-websocket-client.js";

const KEPT = 200; // entries of what has happened
const utf8 = new TextDecoder("utf-8", { fatal: true });

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
  #pushes = [];
  #defs = {};
  #serializer = "json";
  #form;
  #heard = new Set(); // routes whose pushes are shown

  #url = input({ value: "/nano" });
  #user = el("textarea", { rows: 2, spellcheck: false, autocomplete: "off", placeholder: "{}" });
  #connect = el("button", { class: "secondary", type: "submit" }, "Connect");
  #state = el("p", { class: "connection", role: "status" }, el("span", { class: "dot", "aria-hidden": "true" }), el("span", { class: "words" }, "Not connected"));
  #route = input({ placeholder: "Room.Join" });
  #names = el("datalist", { id: "play-routes" });
  #about = el("p", { class: "quiet" });
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
      labeled("Route", this.#route), this.#names, this.#about,
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
      const { serializer, services, elsewhere = [], $defs = {} } = await get("describe");
      this.#serializer = serializer;
      this.#defs = $defs;
      this.#routes = services.flatMap(({ routes }) => routes).filter(({ nodesOnly }) => !nodesOnly);
      this.#pushes = services.flatMap(({ pushes = [] }) => pushes.map(({ route }) => route));
      this.#names.replaceChildren(...this.#routes.map(({ route }) => el("option", { value: route })));
      for (const route of this.#pushes) this.#hear(route);
      if (!this.#route.value && this.#routes.length) this.#route.value = this.#routes[0].route;
      this.#choose();
      if (serializer !== "json") text(this.#about, `This node's payloads are ${serializer}, which this page cannot write: it sends the text as it stands.`);
      else if (!this.#routes.length) text(this.#about, `This node has no routes of its own${elsewhere.length ? `; others run ${elsewhere.join(", ")}` : ""}. Write a route and JSON.`);
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
    const known = chosen && this.#serializer === "json" && chosen.request.schema;
    this.#form = known ? newForm(chosen.request.schema, this.#defs) : undefined;
    this.#fields.replaceChildren(...(this.#form ? [this.#form.root] : []));
    this.#asJSON.disabled = !this.#form;
    if (this.#serializer === "json") {
      const forms = { request: "It answers requests.", notify: "It answers nothing: notify it.", unknown: "The node does not say whether it answers." };
      text(this.#about, chosen ? (chosen.request.raw ? "It takes bytes: the text goes as it stands. " : "") + forms[chosen.form] : "The node does not say what it takes.");
    }
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
    return this.#serializer === "json" && !this.#chosen?.request.raw ? asJSON(this.#raw.value || "{}") : this.#raw.value;
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
    this.#client?.onPush(route, (data) => this.#note("push", route, shown(data)));
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
    const data = new TextEncoder().encode(payload);
    const began = performance.now();
    try {
      if (kind === "notify") {
        this.#client.notify(route, data);
        return this.#note("note", `${route} notified`, shown(data));
      }
      const reply = await this.#client.request(route, data);
      this.#note("answer", `${route} answered after ${took(began)}`, shown(reply), payload);
    } catch (err) {
      this.#note("error", `${route} failed after ${took(began)}`, `${err.code}: ${err.message}`, payload);
    }
  }

  // note adds what has happened, the newest first.
  #note(kind, title, what, sent) {
    const parts = [el("p", { class: "what" }, el("b", {}, title), el("time", { class: "quiet" }, new Date().toLocaleTimeString()))];
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

// shown is a payload for people: JSON in lines, other text as it is, else bytes.
function shown(data) {
  let said;
  try {
    said = utf8.decode(data);
  } catch {
    return Array.from(data.subarray(0, 512), (b) => b.toString(16).padStart(2, "0")).join(" ");
  }
  try {
    const value = JSON.parse(said);
    return /\d{16}/.test(said) ? said : JSON.stringify(value, null, 2); // long numbers keep their digits
  } catch {
    return said;
  }
}

function input(props) {
  return el("input", { autocomplete: "off", spellcheck: false, autocapitalize: "off", ...props });
}

let labels = 0;

function labeled(label, node, kind = "") {
  node.id ||= `play-${++labels}`;
  return el("div", { class: `field ${kind}` }, el("label", { for: node.id }, label), node);
}
