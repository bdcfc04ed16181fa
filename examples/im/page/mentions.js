// Mentions: after an @ the page suggests people of the channel, and notes whom one has chosen.
import { $, avatar } from "./dom.js";
import { request } from "./connection.js";
import { met, nameOf, state } from "./store.js";
import { el } from "./words.js";

const MOST = 6;
const OLD = 5000; // ms after which the people of a channel are asked for again

let field;
let channel; // returns the channel in which one writes
let found = [];
let chosen = 0;
let from = -1; // where the @ is
let turn = 0;

// members returns the people of a channel; those of a large one only as far as they fit into an
// answer.
export async function members(c) {
  const people = new Map();
  for (let after = "", more = true; more && people.size < 500; ) {
    const reply = await request("im.members", { channel: c.id, after, limit: 100 });
    for (const person of reply.members) {
      people.set(person.id, person);
      met(person);
      if (person.online) state.online.add(person.id);
    }
    for (const [id, n] of Object.entries(reply.reads ?? {})) if (id !== state.me.id) c.reads[id] = Math.max(c.reads[id] ?? 0, n);
    more = Boolean(reply.more) && reply.members.length > 0;
    after = reply.members.at(-1)?.id ?? "";
  }
  c.people = people;
  c.peopleAt = Date.now();
  if (c.kind === "group" && people.size < 500) c.members = [...people.values()].filter((p) => p.role !== "invited").length;
  return people;
}

async function find(c, begin) {
  const fits = ({ id, name }) => id !== state.me.id && name.toLowerCase().split(/\s+/).some((part) => part.startsWith(begin.toLowerCase()));
  if (c.kind === "global") {
    const near = [...state.names].map(([id, name]) => ({ id, name })).filter(fits);
    if (!begin) return near;
    const { people } = await request("im.people", { find: begin });
    const ids = new Set(near.map((p) => p.id));
    return [...near, ...people.filter((p) => p.id !== state.me.id && !ids.has(p.id))];
  }
  const people = c.people && Date.now() - c.peopleAt < OLD ? c.people : await members(c);
  return [...people.values()].filter((p) => p.role !== "invited" && fits(p));
}

// wireMentions has a field suggest people.
export function wireMentions(textarea, ofChannel) {
  [field, channel] = [textarea, ofChannel];
  field.addEventListener("input", look);
  field.addEventListener("blur", () => setTimeout(close, 150)); // a click on a suggestion comes first
}

async function look() {
  const mine = ++turn;
  const c = channel();
  const match = /(?:^|\s)@([\p{L}\p{N}\p{M}_.-]{0,30})$/u.exec(field.value.slice(0, field.selectionStart));
  if (!c || !match) return close();
  try {
    const people = await find(c, match[1]);
    if (mine !== turn) return;
    found = people.slice(0, MOST);
  } catch {
    return close(); // one can write a name by oneself
  }
  from = field.selectionStart - match[1].length - 1;
  chosen = 0;
  draw();
}

function draw() {
  const list = $("suggestions");
  list.hidden = found.length === 0;
  list.replaceChildren(...found.map((person, i) => el("li", {
    id: `suggestion-${i}`, role: "option", "aria-selected": String(i === chosen),
    onpointerdown: (event) => {
      event.preventDefault();
      choose(i);
    },
  }, avatar(person.name), el("span", {}, person.name))));
  if (found.length > 0) field.setAttribute("aria-activedescendant", `suggestion-${chosen}`);
  else field.removeAttribute("aria-activedescendant");
}

function close() {
  turn++;
  if (found.length === 0) return;
  found = [];
  draw();
}

function choose(i) {
  const person = found[i];
  met(person);
  channel().draft.mentions.set(person.id, person.name);
  field.setRangeText(`@${person.name} `, from, field.selectionStart, "end");
  close();
  field.dispatchEvent(new Event("input"));
  field.focus();
}

// suggesting handles a key while people are suggested, and reports whether it did.
export function suggesting(event) {
  if (found.length === 0) return false;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    chosen = (chosen + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
    draw();
  } else if (event.key === "Enter" || event.key === "Tab") {
    choose(chosen);
  } else if (event.key === "Escape") {
    close();
  } else {
    return false;
  }
  event.preventDefault();
  return true;
}

// mentionsIn returns the ids of those whom a text mentions: chosen from the suggestions, or written
// as they are called.
export function mentionsIn(c, text) {
  const lower = text.toLowerCase();
  const known = new Set([...c.draft.mentions.keys(), ...(c.people?.keys() ?? [])]);
  const ids = [...known].filter((id) => id !== state.me.id && lower.includes(`@${nameOf(id).toLowerCase()}`));
  return ids.length > 0 ? ids.slice(0, state.limits.mentions) : undefined;
}
