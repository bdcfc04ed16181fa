// The schedulers: what waits, how busy they are, and what is slow now, with its stack when somebody
// asks for it.
import { get } from "./api.js";
import { el, sync, text } from "./dom.js";
import { count, ms, percent, plural, rate } from "./format.js";
import { Table } from "./table.js";

const keyOf = (s) => `${s.node} ${s.kind} ${s.name}`;
const kinds = { node: "the node's own", component: "of a component", made: "of the application" };

export const schedulers = {
  id: "schedulers",
  title: "Schedulers",
  stream: "schedulers",
  icon: "M12 4.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15m0 3.5v4l2.5 2.5",
  open(root, state) {
    const summary = el("p", { class: "quiet", role: "status" });
    const slow = el("ul", { class: "slow" });
    const stack = (s) => el("button", { class: "small", "aria-label": `Stack of ${s.name} on ${state.nameOf(s.node)}` }, "Stack");
    const table = new Table("Schedulers", [
      { title: "Scheduler", of: (s) => s.name, class: "name" },
      { title: "Node", of: (s) => state.nameOf(s.node) },
      { title: "Kind", of: (s) => kinds[s.kind] ?? s.kind },
      { title: "Busy", number: true, of: (s) => percent(s.share), alarm: (s) => s.share > 0.8 },
      { title: "Waiting", number: true, of: (s) => count(s.queued) },
      { title: "Longest wait", number: true, of: (s) => ms(s.wait), alarm: (s) => s.wait > 500 },
      { title: "Runs/s", number: true, of: (s) => rate(s.rate) },
      { title: "Timers", number: true, of: (s) => count(s.timers) },
      { title: "Awaiting", number: true, of: (s) => count(s.awaiting), hint: "Calls that wait for another node's reply" },
      { title: "Panics", number: true, of: (s) => count(s.panics), alarm: (s) => s.panics > 0 },
      { title: "Running now", of: (s) => (s.running ? `${s.running} for ${ms(s.for)}` : "–"), class: "name", alarm: (s) => s.slow },
    ], keyOf, { empty: "No node has told of a scheduler yet." });
    root.append(el("header", { class: "head" }, el("h1", {}, "Schedulers"), summary), slow, table.root);

    const make = (s) => {
      const lines = el("pre", { tabIndex: 0, hidden: true, "aria-label": `Stack of ${s.running}` });
      const ask = stack(s);
      ask.addEventListener("click", async () => {
        lines.hidden = false;
        lines.textContent = "Asking…";
        try {
          lines.textContent = (await get("stack", { node: s.node, scheduler: s.name })).stack || "It has just ended.";
        } catch (err) {
          lines.textContent = err.message;
        }
      });
      return el("li", { class: "card-line" }, el("p", {}, el("b"), el("span")), ask, lines);
    };
    return {
      update({ nodes }) {
        const all = nodes.flatMap((node) => (node.schedulers ?? []).map((s) => ({ ...s, node: node.node })));
        all.sort((a, b) => b.slow - a.slow || b.share - a.share || keyOf(a).localeCompare(keyOf(b)));
        table.show(all);
        const now = all.filter((s) => s.slow);
        text(summary, now.length ? `${plural(now.length, "call")} held up a scheduler for half a second or more.` : `${plural(all.length, "scheduler")}, nothing is slow now.`);
        sync(slow, now, (s) => `${keyOf(s)} ${s.running}`, make, (item, s) => {
          text(item.querySelector("b"), s.running);
          text(item.querySelector("span"), ` runs for ${ms(s.for)} on ${s.name} of ${state.nameOf(s.node)}; ${plural(s.queued, "call")} ${s.queued === 1 ? "waits" : "wait"} behind it.`);
        });
      },
    };
  },
};
