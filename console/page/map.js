// The map: nodes and the links between them. It draws what is old as old: a link whose end has not
// answered for a while is grey and broken, whatever it said last.
import { el, svg, sync, text } from "./dom.js";
import { ms, nameOf, plural } from "./format.js";

const OLD = 4000; // ms
const [WIDTH, HEIGHT] = [150, 52]; // of a node
const MOST = 40; // nodes that a picture can show

export class ClusterMap {
  #picture = svg("svg", { class: "picture", role: "img" });
  #links = svg("g");
  #nodes = svg("g");
  #note = el("p", { class: "quiet" });
  #watch;
  #last;

  constructor() {
    this.#picture.append(this.#links, this.#nodes);
    const legend = (name, words) => el("span", { class: `key ${name}` }, el("i", { "aria-hidden": "true" }), words);
    this.root = el("section", { class: "map", "aria-label": "Map of nodes and links" },
      this.#picture, el("p", { class: "keys" }, legend("good", "link is up"), legend("bad", "link is down"), legend("old", "not heard of")), this.#note);
    this.#watch = new ResizeObserver(() => this.#last && this.show(...this.#last));
    this.#watch.observe(this.root);
  }

  close() {
    this.#watch.disconnect();
  }

  show(overview, state) {
    this.#last = [overview, state];
    const nodes = overview.nodes;
    this.root.hidden = nodes.length < 2;
    this.#picture.toggleAttribute("hidden", nodes.length > MOST);
    text(this.#note, nodes.length > MOST ? `A picture of ${nodes.length} nodes would show nothing: their links are at each node below.` : "");
    if (this.root.hidden || nodes.length > MOST) return;
    const wide = this.root.clientWidth > 640;
    const places = place(nodes, wide, this.root.clientWidth);
    this.#picture.setAttribute("viewBox", `0 0 ${places.width} ${places.height}`);
    this.#picture.setAttribute("aria-label", describe(nodes, state));
    const draw = (item, { node, x, y }) => {
      item.setAttribute("transform", `translate(${x - WIDTH / 2} ${y - HEIGHT / 2})`);
      item.setAttribute("class", `spot ${tone(node)}`);
      text(item.children[1], short(nameOf(node)));
      text(item.children[2], note(node));
    };
    const make = () => svg("g", {}, svg("rect", { width: WIDTH, height: HEIGHT, rx: 14 }), svg("text", { x: WIDTH / 2, y: 22, class: "name" }), svg("text", { x: WIDTH / 2, y: 40 }));
    sync(this.#nodes, places.spots, ({ node }) => node.node, make, draw);
    sync(this.#links, links(nodes), ({ key }) => key, () => svg("g", {}, svg("line"), svg("text")), (item, link) => {
      const [a, b] = [places.at.get(link.a), places.at.get(link.b)];
      item.setAttribute("class", `wire ${link.tone}`);
      for (const [name, value] of Object.entries({ x1: a.x, y1: a.y, x2: b.x, y2: b.y })) item.firstChild.setAttribute(name, value);
      item.lastChild.setAttribute("x", (a.x + b.x) / 2);
      item.lastChild.setAttribute("y", (a.y + b.y) / 2 - 5);
      text(item.lastChild, nodes.length <= 6 && link.rtt ? ms(link.rtt) : "");
    });
  }
}

const short = (name) => (name.length > 17 ? `${name.slice(0, 16)}…` : name);

function tone(node) {
  if (node.state === "silent" || node.state === "gone") return "old";
  return node.state === "working" ? "good" : "warn";
}

function note(node) {
  if (node.state === "silent") return node.age < 0 ? "no answer" : `silent for ${Math.round(node.age / 1000)} s`;
  if (node.state === "gone") return "left the cluster";
  if (node.state !== "working") return node.state;
  if (node.clients?.length) return plural(node.sessions, "session");
  return node.roles.join(", ");
}

// place puts gates to one side, backends to the other, and what is neither between them: side by
// side where there is room, else one below the other.
function place(nodes, wide, room) {
  const rank = ({ roles }) => (roles.includes("gate") ? 0 : roles.includes("master") ? 1 : 2);
  const lanes = [0, 1, 2].map((lane) => nodes.filter((node) => rank(node) === lane)).filter((lane) => lane.length);
  const perRow = wide ? 1 : Math.max(1, Math.floor(room / (WIDTH + 16)));
  const spots = [];
  let width = wide ? Math.max(room, 600) : Math.max(room, WIDTH + 8);
  let height = 0;
  if (wide) {
    const most = Math.max(...lanes.map((lane) => lane.length));
    height = Math.max(170, most * (HEIGHT + 26) + 16);
    const margin = WIDTH / 2 + 30;
    lanes.forEach((lane, i) => {
      const x = lanes.length === 1 ? width / 2 : margin + (i * (width - 2 * margin)) / (lanes.length - 1);
      lane.forEach((node, j) => spots.push({ node, x, y: ((j + 0.5) * height) / lane.length }));
    });
    if (lanes.length === 1) ring(spots, width, height);
  } else {
    let y = HEIGHT / 2 + 6;
    for (const lane of lanes) {
      for (let i = 0; i < lane.length; i += perRow) {
        const row = lane.slice(i, i + perRow);
        row.forEach((node, j) => spots.push({ node, x: ((j + 0.5) * width) / row.length, y }));
        y += HEIGHT + 30;
      }
    }
    height = y - HEIGHT / 2 - 18;
  }
  return { width, height, spots, at: new Map(spots.map((s) => [s.node.node, s])) };
}

// ring puts nodes that are all alike around a centre, so that their links can be seen.
function ring(spots, width, height) {
  spots.forEach((s, i) => {
    const angle = (2 * Math.PI * i) / spots.length - Math.PI / 2;
    s.x = width / 2 + (Math.cos(angle) * (width - WIDTH - 60)) / 2;
    s.y = height / 2 + (Math.sin(angle) * (height - HEIGHT - 20)) / 2;
  });
}

// links joins the two directions between two nodes into one line. Each end tells of its own.
function links(nodes) {
  const known = new Map(nodes.map((node) => [node.node, node]));
  const lines = new Map();
  for (const node of nodes) {
    for (const link of node.links ?? []) {
      if (!known.has(link.peer)) continue;
      const [a, b] = [node.node, link.peer].sort();
      const key = `${a} ${b}`;
      const line = lines.get(key) ?? { key, a, b, rtt: 0, tone: "good" };
      const peer = known.get(link.peer);
      const old = node.age > OLD || [node, peer].some(({ state }) => state === "silent" || state === "gone");
      const legacy = peer.state === "v0.5";
      if (old && line.tone !== "bad") line.tone = "old";
      if (!old && !legacy && !link.connected) line.tone = "bad";
      line.rtt = Math.max(line.rtt, link.rtt);
      lines.set(key, line);
    }
  }
  return [...lines.values()];
}

function describe(nodes, state) {
  const bad = links(nodes).filter((line) => line.tone !== "good");
  const names = bad.map(({ a, b, tone: is }) => `${state.nameOf(a)} and ${state.nameOf(b)} (${is === "bad" ? "down" : "not heard of"})`);
  return bad.length ? `Links that are not up: ${names.join(", ")}` : `${nodes.length} nodes, all links are up`;
}
