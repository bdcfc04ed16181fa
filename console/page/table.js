// A table whose rows stay the same elements while their numbers change.
import { cells, el, sync, text } from "./dom.js";

export class Table {
  #body = el("tbody");
  #columns;
  #keyOf;
  #empty;

  // columns are {title, of(row), number?, class?}: of returns a text or a node. keyOf tells rows
  // apart.
  constructor(caption, columns, keyOf, { empty = "There is nothing.", open } = {}) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.#empty = el("p", { class: "quiet empty" }, empty);
    const head = el("tr", {}, ...columns.map(({ title, number, hint }) => el("th", { scope: "col", class: number ? "number" : "", title: hint }, title)));
    const table = el("table", {}, el("caption", { class: "hidden" }, caption), el("thead", {}, head), this.#body);
    this.root = el("div", { class: "table", tabIndex: 0, role: "region", "aria-label": caption }, table, this.#empty);
    if (open) {
      this.#body.addEventListener("click", ({ target }) => {
        const row = target.closest("tr");
        if (row && !target.closest("a, button")) open(row.dataset.key);
      });
      this.#body.classList.add("opens");
    }
  }

  show(rows, empty) {
    this.#empty.hidden = rows.length > 0;
    if (empty) text(this.#empty, empty);
    sync(this.#body, rows, this.#keyOf, () => el("tr"), (item, row) => {
      cells(item, this.#columns.map(({ of }) => of(row, item)));
      this.#columns.forEach(({ number, class: name, alarm }, i) => {
        item.children[i].className = [number ? "number" : "", name ?? "", alarm?.(row) ? "alarm" : ""].filter(Boolean).join(" ");
      });
    });
  }
}
