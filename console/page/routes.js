// The routes: how often their handlers are called, how long they take, and what fails.
import { el, text } from "./dom.js";
import { count, ms, plural, rate } from "./format.js";
import { Table } from "./table.js";

const codes = ({ byCode }) => Object.entries(byCode ?? {}).sort((a, b) => b[1] - a[1]).map(([code, n]) => `${code} ${rate(n)}`).join(", ");

export const routes = {
  id: "routes",
  title: "Routes",
  stream: "routes",
  icon: "M4 6h6a4 4 0 0 1 4 4v4a4 4 0 0 0 4 4h2m-3-3 3 3-3 3M4 18h4",
  open(root) {
    const summary = el("p", { class: "quiet" });
    const filter = el("input", { id: "route-filter", type: "search", placeholder: "Room.Say", autocomplete: "off", spellcheck: false });
    const table = new Table("Routes", [
      { title: "Route", of: (r) => r.name, class: "name" },
      { title: "Calls/s", number: true, of: (r) => rate(r.rate) },
      { title: "Errors/s", number: true, of: (r) => rate(r.errors), alarm: (r) => r.errors > 0 },
      { title: "p50", number: true, of: (r) => ms(r.p50), hint: "Half of the handlers took no longer" },
      { title: "p90", number: true, of: (r) => ms(r.p90) },
      { title: "p99", number: true, of: (r) => ms(r.p99), alarm: (r) => r.p99 > 500 },
      { title: "Waited p99", number: true, of: (r) => ms(r.wait99), hint: "From when the message was read to the handler", alarm: (r) => r.wait99 > 500 },
      { title: "Running", number: true, of: (r) => count(r.running) },
      { title: "Calls", number: true, of: (r) => count(r.messages), hint: "Since the nodes started" },
      { title: "Failed", number: true, of: (r) => count(r.failed) },
      { title: "Nodes", number: true, of: (r) => count(r.nodes) },
      { title: "Errors now", of: codes },
    ], (r) => r.name, { empty: "No node has told of a route yet." });
    root.append(
      el("header", { class: "head" }, el("h1", {}, "Routes"), summary),
      el("form", { class: "find", role: "search" }, el("div", { class: "field" }, el("label", { for: "route-filter" }, "Name"), filter)),
      table.root,
    );
    root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    let last;
    const update = (overview) => {
      last = overview;
      const all = overview.routes ?? [];
      const wanted = filter.value.trim().toLowerCase();
      table.show(all.filter(({ name }) => name.toLowerCase().includes(wanted)), wanted ? "No route has that in its name." : undefined);
      text(summary, `${plural(all.length, "route")}. Rates and times are of the last ten seconds, of all nodes together.`);
    };
    filter.addEventListener("input", () => last && update(last));
    return { update };
  },
};
