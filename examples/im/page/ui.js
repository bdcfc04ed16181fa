// What all parts of the page use: notes that come and go, menus, questions, colours.
import { $ } from "./dom.js";
import { kept } from "./store.js";
import { el, icon } from "./words.js";

// toast shows a note for some seconds. One with an action stays longer.
export function toast(text, { error = false, action, label } = {}) {
  const node = el("div", { class: error ? "toast error" : "toast" }, el("span", {}, text));
  if (error) node.setAttribute("role", "alert");
  if (action) {
    node.append(el("button", { type: "button", class: "link", onclick: () => (node.remove(), action()) }, label));
  }
  while ($("toasts").children.length >= 3) $("toasts").firstElementChild.remove();
  $("toasts").append(node);
  setTimeout(() => node.remove(), action || error ? 8000 : 4000);
}

// menu opens a list of actions at an element, or at a point. Each item: {icon, label, run, danger}.
export function menu(at, items) {
  const node = $("menu");
  const from = document.activeElement;
  node.replaceChildren(...items.map(({ icon: symbol, label, run, danger }) => el("button", {
    type: "button", role: "menuitem", class: danger ? "danger" : "", tabIndex: -1,
    onclick: () => {
      node.hidePopover();
      from?.focus?.({ preventScroll: true });
      run();
    },
  }, icon(symbol), label)));
  node.showPopover();
  const box = node.getBoundingClientRect();
  const near = at instanceof Element ? at.getBoundingClientRect() : { left: at.x, right: at.x, top: at.y, bottom: at.y };
  const left = near.right - box.width > 8 ? near.right - box.width : near.left;
  const top = near.bottom + box.height + 8 < innerHeight ? near.bottom + 4 : near.top - box.height - 4;
  node.style.left = `${Math.max(8, Math.min(left, innerWidth - box.width - 8))}px`;
  node.style.top = `${Math.max(8, Math.min(top, innerHeight - box.height - 8))}px`;
  node.firstElementChild.focus();
  node.onkeydown = (event) => {
    const all = [...node.children];
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Tab" || event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      node.hidePopover();
      from?.focus?.({ preventScroll: true });
    } else if (by) {
      event.preventDefault();
      all.at((all.indexOf(document.activeElement) + by) % all.length).focus();
    }
  };
}

// ask puts a question, and resolves to whether the answer is yes.
export function ask(title, text, yes, { danger = false, no = "Cancel" } = {}) {
  const dialog = $("question");
  $("question-title").textContent = title;
  $("question-text").textContent = text;
  $("question-yes").textContent = yes;
  $("question-no").textContent = no;
  $("question-no").hidden = no === "";
  $("question-yes").classList.toggle("danger", danger);
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

$("question-yes").onclick = () => $("question").close("yes");
$("question-no").onclick = () => $("question").close("");

// A dialog closes by its cross, and by a click beside it.
for (const dialog of document.querySelectorAll("dialog.sheet")) {
  dialog.addEventListener("click", (event) => (event.target === dialog || event.target.closest("[data-close]")) && dialog.close());
}

// ---- colours

const THEMES = { "": "as the system", light: "light", dark: "dark" };

function applyTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").ariaLabel = $("theme").title = `Colours: ${THEMES[theme]}`;
}

export function wireTheme() {
  const theme = kept.get("theme") ?? "";
  applyTheme(theme in THEMES ? theme : "");
  $("theme").onclick = () => {
    const order = matchMedia("(prefers-color-scheme: dark)").matches ? ["", "light", "dark"] : ["", "dark", "light"];
    const next = order[(order.indexOf(document.documentElement.dataset.theme) + 1) % 3];
    applyTheme(next);
    kept.set("theme", next);
  };
}
