// Texts of messages as nodes and as plain words. What people typed becomes text nodes, and nothing
// else.
import { el, words as linked } from "./dom.js";
import { nameOf, state } from "./store.js";

export { el } from "./dom.js";

// icon draws one of the symbols of the page.
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

// button makes a button with a symbol only.
export const iconButton = (name, label, props = {}) => el("button", { type: "button", class: "icon", "aria-label": label, title: label, ...props }, icon(name));

// rich turns a message's text into nodes: text, links, and the mentions that the message has.
export function rich(text, mentions = []) {
  const names = mentions.map((id) => ({ id, at: `@${nameOf(id)}` })).sort((a, b) => b.at.length - a.at.length);
  return linked(text).flatMap((node) => (typeof node === "string" ? mentioned(node, names) : [node]));
}

function mentioned(text, names) {
  const nodes = [];
  let from = 0;
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    if (at < from) continue;
    const name = names.find((n) => text.slice(at, at + n.at.length).toLowerCase() === n.at.toLowerCase());
    if (!name) continue;
    nodes.push(text.slice(from, at), el("span", { class: name.id === state.me.id ? "mention me" : "mention" }, text.slice(at, at + name.at.length)));
    from = at + name.at.length;
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== "");
}

// highlight turns a text into nodes in which the words that begin as those of a search are marked.
export function highlight(text, find) {
  const terms = find.toLowerCase().split(/[^\p{L}\p{N}\p{M}]+/u).filter(Boolean);
  const nodes = [];
  for (const part of text.split(/([\p{L}\p{N}\p{M}]+)/u)) {
    const term = terms.find((t) => part.toLowerCase().startsWith(t));
    if (!term) nodes.push(part);
    else nodes.push(el("mark", {}, part.slice(0, term.length)), part.slice(term.length));
  }
  return nodes;
}

export const nameOfPicture = (m) => (m.text ? `Picture: ${m.text.slice(0, 120)}` : `Picture from ${m.name}`);

// plain is a message in one line of words.
export function plain(m) {
  if (m.gone) return "This message is not there any more";
  if (m.deleted) return "Deleted message";
  if (!m.picture) return m.text.replaceAll(/\s+/g, " ");
  return m.text ? `Picture: ${m.text.replaceAll(/\s+/g, " ")}` : "Picture";
}

const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const weekday = new Intl.DateTimeFormat("en", { weekday: "short" });
const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export const timeOf = (at) => hour.format(at);

// when is a time in a list: the hour today, then the day.
export function when(at, now = Date.now()) {
  if (new Date(at).toDateString() === new Date(now).toDateString()) return hour.format(at);
  return (now - at < 6 * 86_400_000 ? weekday : day).format(at);
}
