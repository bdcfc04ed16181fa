// The cluster: its nodes, the links between them, and how it goes.
import { post } from "./api.js";
import { Chart } from "./chart.js";
import { ask, el, sync, text, toast } from "./dom.js";
import { ago, bytes, count, ms, nameOf, percent, plural, rate, since } from "./format.js";
import { ClusterMap } from "./map.js";

export const cluster = {
  id: "cluster",
  title: "Cluster",
  icon: "M12 4a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5M5.5 15a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5m13 0a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5M10.8 8.8l-4 6.4m6.4-6.4 4 6.4M8 17.5h8",
  open(root, state) {
    const charts = [
      new Chart("Sessions", [{ key: "sessions", label: "now", colour: "accent" }], count),
      new Chart("Messages/s", [{ key: "rate", label: "all", colour: "accent" }, { key: "errors", label: "errors", colour: "error" }], rate),
      new Chart("Handlers", [{ key: "p50", label: "p50", colour: "accent" }, { key: "p99", label: "p99", colour: "fresh" }], ms),
      new Chart("Bytes/s", [{ key: "bytesIn", label: "in", colour: "accent" }, { key: "bytesOut", label: "out", colour: "fresh" }], bytes),
    ];
    const summary = el("p", { class: "quiet", role: "status" });
    const map = new ClusterMap();
    const nodes = el("ul", { class: "nodes" });
    root.append(
      el("header", { class: "head" }, el("h1", {}, "Cluster"), summary),
      el("div", { class: "charts" }, ...charts.map((c) => c.root)),
      map.root,
      el("h2", {}, "Nodes"),
      nodes,
    );
    return {
      update(overview) {
        for (const chart of charts) chart.show(state.points);
        text(summary, summarize(overview));
        map.show(overview, state);
        sync(nodes, overview.nodes, ({ node }) => node, makeCard, (card, node) => drawCard(card, node, state));
      },
      close() {
        for (const chart of charts) chart.close();
        map.close();
      },
    };
  },
};

function summarize({ nodes, total }) {
  const silent = nodes.filter(({ state }) => state === "silent" || state === "gone").map(nameOf);
  const parts = [plural(nodes.length, "node"), plural(total.sessions, "session"), plural(total.users, "user"), `${rate(total.rate)} messages/s`];
  return parts.join(" · ") + (silent.length ? `. Nothing is heard of ${silent.join(", ")}.` : "");
}

const states = {
  starting: ["starting", "warn"],
  working: ["working", "good"],
  draining: ["draining", "warn"],
  silent: ["no answer", "bad"],
  gone: ["left the cluster", "bad"],
  "v0.5": ["v0.5: tells nothing", "warn"],
};

function makeCard() {
  const part = (tag, name, ...more) => el(tag, { class: name }, ...more);
  const card = el("li", { class: "node" },
    part("header", "node-head", part("h3", "name"), part("span", "chip"), el("button", { class: "small drain" }, "Drain")),
    part("p", "quiet address"),
    part("dl", "figures"),
    part("p", "warning"),
    el("details", { class: "links" }, el("summary", {}), el("ul", {})));
  card.querySelector(".drain").addEventListener("click", () => drain(card.dataset.key, card.querySelector(".name").textContent));
  return card;
}

function drawCard(card, node, state) {
  const [words, tone] = states[node.state] ?? [node.state, "warn"];
  card.dataset.state = tone;
  text(card.querySelector(".name"), nameOf(node));
  text(card.querySelector(".chip"), words);
  const drain = card.querySelector(".drain");
  drain.hidden = !node.clients?.length || node.state !== "working";
  drain.setAttribute("aria-label", `Drain ${nameOf(node)}`);
  const heard = node.state === "v0.5" ? "" : node.age < 0 ? "has never answered" : `answered ${ago(node.age)}`;
  text(card.querySelector(".address"), [node.label ? node.node : "", node.roles.join(", "), heard].filter(Boolean).join(" · "));
  const figures = node.age < 0 ? [] : [
    ["Sessions", node.clients ? count(node.sessions) : "–"],
    ["Messages/s", rate(node.rate)],
    ["Errors/s", rate(node.errors)],
    ["p99", ms(node.p99)],
    ["Busy", percent(node.busy)],
    ["Bytes/s in, out", `${bytes(node.bytesIn)}, ${bytes(node.bytesOut)}`],
    ["Waiting bytes", bytes(node.gate?.queuedBytes ?? 0)],
    ["Heap", bytes(node.process?.heapBytes ?? 0)],
    ["Goroutines", count(node.process?.goroutines ?? 0)],
    ["Up for", since(node.started)],
    ["Process", String(node.process?.pid ?? "")],
  ];
  sync(card.querySelector(".figures"), figures, ([name]) => name, ([name]) => el("div", {}, el("dt", {}, name), el("dd")), (item, [, value]) => text(item.lastChild, value));
  text(card.querySelector(".warning"), [node.age >= 0 || node.state === "silent" ? node.error : "", ...(node.health?.reasons ?? []).map((r) => (typeof r === "string" ? r : r.text ?? ""))].filter(Boolean).join(" "));
  const links = node.links ?? [];
  const details = card.querySelector(".links");
  details.hidden = links.length === 0;
  const down = links.filter(({ connected }) => !connected).length;
  text(details.firstChild, `${plural(links.length, "link")}${down ? `, ${down} down` : ""}`);
  sync(details.lastChild, links, ({ peer }) => peer, () => el("li", {}, el("b"), el("span")), (item, link) => {
    item.dataset.down = !link.connected;
    text(item.firstChild, `→ ${state.nameOf(link.peer)}`);
    text(item.lastChild, describe(link));
  });
}

function describe(link) {
  const parts = [link.connected ? "up" : "down", `heard ${ago(link.heardAge)}`];
  if (link.rtt) parts.push(`round trip ${ms(link.rtt)}`);
  parts.push(`${rate(link.frameRate)} frames/s in ${rate(link.batchRate)} batches`, `queue ${bytes(link.unsentBytes)}`, plural(link.sessions, "session"));
  if (link.resent) parts.push(`${count(link.resent)} sent again`);
  if (!link.connected && link.lastError) parts.push(link.lastError);
  return parts.join(" · ");
}

async function drain(node, name) {
  const yes = await ask({
    title: `Drain ${name}?`,
    lead: "It takes no new clients any more. Those that can come back elsewhere are asked to do so; the others stay until they leave or the node ends. Nothing takes a drain back.",
    action: "Drain it",
    danger: true,
  });
  if (!yes) return;
  try {
    await post("drain", { node });
    toast(`${name} drains.`);
  } catch (err) {
    toast(err.message, true);
  }
}

