// Small things for making elements. What nodes and clients say goes into the page as text nodes,
// never as HTML: the policy (trusted types) would not even let it.

// el makes an element. Children are nodes or strings; props are properties, with data-* and aria-*
// as attributes.
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === false || value === null) continue;
    if (key === "class") node.className = value;
    else if (key.includes("-") || key === "role" || key === "for") node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

// svg makes an element of a picture; props are attributes.
export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(props)) if (value !== undefined) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export const $ = (id) => document.getElementById(id);

// text changes an element's text only if it is another: nothing is read out or drawn again without
// need.
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

// sync makes the children of parent those of values, and keeps the elements of what stays, so that
// neither the focus nor the place that one has scrolled to is lost.
export function sync(parent, values, keyOf, make, draw) {
  const have = new Map([...parent.children].map((item) => [item.dataset.key, item]));
  const items = values.map((value) => {
    const key = String(keyOf(value));
    let item = have.get(key);
    if (!item) {
      item = make(value);
      item.dataset.key = key;
    }
    draw(item, value);
    return item;
  });
  const keep = new Set(items);
  for (const item of [...parent.children]) if (!keep.has(item)) item.remove();
  items.forEach((item, i) => {
    if (parent.children[i] !== item) parent.insertBefore(item, parent.children[i] ?? null);
  });
}

// cells fills a row: each column is a function that returns a text or a node.
export function cells(row, values) {
  while (row.children.length < values.length) row.append(el("td"));
  values.forEach((value, i) => {
    const cell = row.children[i];
    if (value instanceof Node) {
      if (cell.firstChild !== value || cell.childNodes.length > 1) cell.replaceChildren(value);
    } else text(cell, String(value));
  });
}

let toastTimer;

// toast says what has happened.
export function toast(message, bad = false) {
  const node = $("toast");
  node.textContent = message;
  node.dataset.bad = bad;
  node.dataset.shown = "true";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => delete node.dataset.shown, 5000);
}

// ask opens a dialog, and resolves to the values of its form, or to null. fields are {name, label,
// value, rows}.
export function ask({ title, lead = "", fields = [], action, danger = false }) {
  return new Promise((resolve) => {
    const inputs = fields.map(({ name, label, value = "", rows, placeholder = "" }) => {
      const id = `ask-${name}`;
      const input = el(rows ? "textarea" : "input", { id, name, value, placeholder, rows, autocomplete: "off", spellcheck: false });
      return el("div", { class: "field" }, el("label", { for: id }, label), input);
    });
    const form = el("form", { method: "dialog" },
      el("h2", { id: "ask-title", tabIndex: -1, autofocus: fields.length === 0 }, title),
      lead ? el("p", { class: "quiet" }, lead) : "",
      ...inputs,
      el("div", { class: "buttons" },
        el("button", { class: danger ? "danger" : "primary", value: "yes" }, action),
        el("button", { class: "secondary", value: "", formNoValidate: true }, "Cancel")));
    const dialog = el("dialog", { class: "card", "aria-labelledby": "ask-title" }, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? Object.fromEntries(new FormData(form)) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
