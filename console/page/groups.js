// The groups of each node, the largest first.
import { el, text } from "./dom.js";
import { count, plural } from "./format.js";
import { Table } from "./table.js";

export const groups = {
  id: "groups",
  title: "Groups",
  stream: "groups",
  icon: "M9 11a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4m-6 8a6 6 0 0 1 12 0m1-8a3 3 0 1 0 0-6m5 14a6 6 0 0 0-4-5.6",
  open(root, state) {
    const summary = el("p", { class: "quiet" });
    const table = new Table("Groups", [
      { title: "Group", of: (g) => g.name || "(no name)", class: "name" },
      { title: "Node", of: (g) => state.nameOf(g.node) },
      { title: "Members", number: true, of: (g) => count(g.members) },
      { title: "Broadcasts", number: true, of: (g) => count(g.broadcasts), hint: "Since the group was made" },
    ], (g) => g.key, { empty: "No node has a group with members." });
    root.append(el("header", { class: "head" }, el("h1", {}, "Groups"), summary), table.root);
    return {
      update({ nodes }) {
        const all = [];
        let [known, members, broadcasts] = [0, 0, 0];
        for (const node of nodes) {
          if (!node.groups) continue;
          known += node.groups.count;
          members += node.groups.members;
          broadcasts += node.groups.broadcasts;
          const same = new Map(); // two groups may have one name
          for (const group of node.groups.largest ?? []) {
            const n = (same.get(group.name) ?? 0) + 1;
            same.set(group.name, n);
            all.push({ ...group, node: node.node, key: `${node.node} ${group.name} ${n}` });
          }
        }
        all.sort((a, b) => b.members - a.members || a.key.localeCompare(b.key));
        table.show(all);
        const left = known - all.length;
        text(summary, `${plural(known, "group")} with ${plural(members, "member")}, ${plural(broadcasts, "broadcast")} since the nodes started.${left > 0 ? ` ${count(left)} small ones are not listed.` : ""}`);
      },
    };
  },
};
