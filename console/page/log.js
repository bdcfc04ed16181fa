// The last lines of the nodes' logs, in the order of their times.
import { get } from "./api.js";
import { el, sync, text } from "./dom.js";
import { clock, plural } from "./format.js";

const EVERY = 2000; // ms

export const log = {
  id: "log",
  title: "Log",
  icon: "M5 5h14v14H5zM8 9h8m-8 3h8m-8 3h5",
  open(root, state) {
    const summary = el("p", { class: "quiet", role: "status" });
    const node = el("select", { id: "log-node" }, el("option", { value: "" }, "All nodes"));
    const level = el("select", { id: "log-level" }, ...[["", "All lines"], ["WARN", "Warnings and errors"], ["ERROR", "Errors"]].map(([value, words]) => el("option", { value }, words)));
    const words = el("input", { id: "log-words", type: "search", placeholder: "session kicked", autocomplete: "off", spellcheck: false });
    const field = (id, label, input) => el("div", { class: "field" }, el("label", { for: id }, label), input);
    const list = el("ol", { class: "lines" });
    const scroll = el("div", { class: "log", tabIndex: 0, role: "region", "aria-label": "Lines of the log" }, list);
    const form = el("form", { class: "find", role: "search" }, field("log-node", "Node", node), field("log-level", "Level", level), field("log-words", "Words", words));
    root.append(el("header", { class: "head" }, el("h1", {}, "Log"), summary), form, scroll);
    form.addEventListener("submit", (event) => event.preventDefault());

    let lines = [];
    let closed = false;
    let timer;
    const draw = () => {
      const wanted = words.value.trim().toLowerCase();
      const levels = { "": null, WARN: ["WARN", "ERROR"], ERROR: ["ERROR"] }[level.value];
      const some = lines.filter((l) => (!levels || levels.includes(l.level)) && `${l.text} ${state.nameOf(l.node)}`.toLowerCase().includes(wanted));
      const atEnd = scroll.scrollTop + scroll.clientHeight > scroll.scrollHeight - 30;
      sync(list, some, (l) => `${l.node} ${l.n}`, (l) => el("li", { "data-level": l.level },
        el("time", { dateTime: l.time }, clock(l.time)), el("b", {}, state.nameOf(l.node)), el("i", {}, l.level), el("span", {}, l.text)), () => {});
      if (atEnd) scroll.scrollTop = scroll.scrollHeight;
      return some.length;
    };
    const show = () => {
      const n = draw();
      text(summary, lines.length === 0 ? "The nodes have logged nothing yet." : `${plural(n, "line")} of ${lines.length}. Each node keeps its last 500.`);
    };
    const load = async () => {
      clearTimeout(timer);
      const of = node.value;
      try {
        const answer = await get("log", { node: of });
        if (closed || of !== node.value) return;
        lines = answer.lines;
        show();
        const silent = Object.keys(answer.errors);
        if (silent.length) text(summary, `${summary.textContent} No answer came from ${silent.map(state.nameOf).join(", ")}.`);
      } catch (err) {
        text(summary, err.message);
      }
      if (!closed) timer = setTimeout(load, EVERY);
    };
    node.addEventListener("change", load);
    level.addEventListener("change", show);
    words.addEventListener("input", show);
    load();
    return {
      update({ nodes }) {
        const can = nodes.filter(({ state: is }) => is !== "v0.5");
        if (node.options.length === can.length + 1) return;
        const chosen = node.value;
        node.replaceChildren(node.options[0], ...can.map((n) => el("option", { value: n.node }, state.nameOf(n.node))));
        node.value = chosen;
      },
      close() {
        closed = true;
        clearTimeout(timer);
      },
    };
  },
};
