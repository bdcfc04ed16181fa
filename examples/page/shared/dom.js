// Small things for making elements. Whatever people typed goes into the page as text nodes, never as HTML: the
// server's policy (trusted types) would not even let it.

// el makes an element. Children are nodes or strings; props are properties, with data-* and aria-* as attributes.
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (key === "class") node.className = value;
    else if (key.includes("-") || key === "role") node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

export const $ = (id) => document.getElementById(id);

const TONES = 12;
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

// tone gives a name one of the page's colours, the same on every page.
export function tone(name) {
  let hash = 7;
  for (const c of name.toLowerCase()) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
  return String(hash % TONES);
}

// paintAvatar fills an avatar's element for a name: its first letter, or emoji, on the name's colour.
export function paintAvatar(node, name) {
  const first = graphemes.segment(name)[Symbol.iterator]().next().value?.segment ?? "";
  node.dataset.tone = tone(name);
  node.textContent = first.toUpperCase();
  return node;
}

export const avatar = (name) => paintAvatar(el("span", { class: "avatar", "aria-hidden": "true" }), name);

const LINK = /\bhttps?:\/\/[^\s<>"']+/gi;

// words turns a message's text into nodes: text, and links where there is an address in it.
export function words(text) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(LINK)) {
    let address = match[0].replace(/[.,;:!?…]+$/, "");
    while (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
    if (!URL.canParse(address)) continue;
    nodes.push(text.slice(at, match.index));
    nodes.push(el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address));
    at = match.index + address.length;
  }
  nodes.push(text.slice(at));
  return nodes;
}

const EMOJI = /^(?:\p{RI}\p{RI}|(?:\p{Emoji_Presentation}|\p{Emoji}\uFE0F|\p{Emoji_Modifier_Base})(?:\p{Emoji_Modifier}|[\uFE0F\u20E3]|\u200D\p{Emoji}|[\u{E0020}-\u{E007F}])*)$/u;

// isSticker tells whether a text is one to three emoji and nothing else; such a message is shown large.
export function isSticker(text) {
  if (text.length > 60) return false;
  const parts = [...graphemes.segment(text)].map((p) => p.segment).filter((s) => s.trim() !== "");
  return parts.length >= 1 && parts.length <= 3 && parts.every((s) => EMOJI.test(s));
}

const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const weekday = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long" });

// clock is a time of day, its full date in the tooltip.
export function clock(at) {
  const date = new Date(at);
  return el("time", { dateTime: date.toISOString(), title: full.format(date) }, hour.format(date));
}

export const dayOf = (at) => new Date(at).toDateString();

// dayName is how a day is called in the log.
export function dayName(at, now = Date.now()) {
  if (dayOf(at) === dayOf(now)) return "Today";
  if (dayOf(at) === dayOf(now - 86_400_000)) return "Yesterday";
  return weekday.format(new Date(at));
}

const lists = new Intl.ListFormat("en", { type: "conjunction" });

// listNames joins names; from the fourth on they are only counted.
export function listNames(names) {
  if (names.length <= 4) return lists.format(names);
  return lists.format([...names.slice(0, 3), `${names.length - 3} others`]);
}

export const plural = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;

// sentence makes an error's text, as programs write it, one for people.
export function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

// REASONS are words for the codes that nano itself and the network give to what did not work. What the examples' servers
// say under other codes is written for people.
const REASONS = {
  unavailable: "The server cannot be reached right now.",
  deadline_exceeded: "The server has not answered in time.",
  canceled: "It was cancelled.",
  kicked: "The server has ended the connection.",
  refused: "The server has refused it.",
  internal: "Something went wrong on the server.",
};

// explain says in a sentence why something did not work.
export const explain = (err) => REASONS[err.code] ?? sentence(err.message);

// onlyHere tells whether the page's address means this machine on every machine, so that nobody else can use it.
export const onlyHere = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);

// sync makes a list's items those of values, and keeps the elements of what stays, so that neither the focus nor
// what is being read out is lost.
export function sync(list, values, keyOf, draw) {
  const have = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const items = values.map((value) => {
    const key = keyOf(value);
    const item = have.get(key) ?? el("li", { "data-key": key });
    draw(item, value);
    return item;
  });
  if (items.length === list.children.length && items.every((item, i) => list.children[i] === item)) return;
  const stays = new Set(items);
  for (const item of [...list.children]) if (!stays.has(item)) item.remove();
  items.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
}
