// Finding people: for a talk with one, for a new group, and to invite into one.
import { $, avatar, explain, sync } from "./dom.js";
import { adopt, request } from "./connection.js";
import { met, nameOf, state } from "./store.js";
import { toast } from "./ui.js";
import { el, icon } from "./words.js";

const WAIT = 150; // ms after the last key

const purposes = {
  talk: { title: "New conversation", lead: "Choose a person to talk to. Choose more to make a group.", done: "Start" },
  invite: { title: "Invite people", lead: "Those whom you choose get an invitation.", done: "Invite" },
};

let purpose = "talk";
let group = null; // the channel into which people are invited
let chosen = new Map();
let found = [];
let turn = 0;
let waiting;
let go;

// wirePeople has the dialog call open with the channel that it has made.
export function wirePeople(open) {
  go = open;
  $("new").onclick = () => openPeople();
  $("who").oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, WAIT);
  };
  $("people-form").onsubmit = (event) => {
    event.preventDefault();
    finish();
  };
  $("who").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && found.length > 0 && $("who").value.trim()) {
      event.preventDefault();
      toggle(found[0]);
    } else if (event.key === "Backspace" && $("who").value === "" && chosen.size > 0) {
      toggle([...chosen.values()].at(-1));
    }
  });
}

// openPeople asks for people: to talk to, or to be invited into a group.
export function openPeople(into = null) {
  group = into;
  purpose = into ? "invite" : "talk";
  chosen = new Map();
  $("people-title").textContent = purposes[purpose].title;
  $("people-lead").textContent = purposes[purpose].lead;
  $("who").value = $("group-title").value = $("people-error").textContent = "";
  draw();
  $("people").showModal();
  look();
}

async function look() {
  const mine = ++turn;
  const begin = $("who").value.trim();
  const others = (list) => list.filter((p) => p.id !== state.me.id && !group?.people?.has(p.id));
  const near = [...state.names].map(([id, name]) => ({ id, name })).filter((p) => p.name.toLowerCase().startsWith(begin.toLowerCase()));
  found = others(near).slice(0, 20);
  try {
    const { people } = await request("im.people", { find: begin });
    if (mine !== turn) return;
    for (const p of people) {
      met(p);
      if (p.online) state.online.add(p.id);
    }
    const ids = new Set(people.map((p) => p.id));
    found = others([...people, ...near.filter((p) => !ids.has(p.id))]).slice(0, 20);
  } catch (err) {
    if (mine === turn) $("people-error").textContent = explain(err);
  }
  draw();
}

function toggle(person) {
  if (!chosen.delete(person.id)) {
    chosen.set(person.id, person);
    $("who").value = "";
  }
  $("people-error").textContent = "";
  draw();
  $("who").focus();
  look();
}

function draw() {
  sync($("chosen"), [...chosen.values()], (p) => p.id, (item, p) => {
    if (item.firstElementChild) return;
    item.append(el("button", { type: "button", class: "chip", onclick: () => toggle(p) }, avatar(p.name), el("span", { class: "hidden" }, "Remove "), p.name, icon("cross")));
  });
  const twins = Map.groupBy(found, (p) => p.name.toLowerCase());
  sync($("persons"), found, (p) => p.id, (item, p) => {
    let button = item.firstElementChild;
    if (!button) {
      button = el("button", { type: "button", class: "person" }, avatar(p.name), el("span", { class: "title" }, p.name), el("span", { class: "hint" }), icon("check"));
      item.append(button);
    }
    button.onclick = () => toggle(p);
    // Who is called as another one is told apart by the id.
    button.children[2].textContent = [twins.get(p.name.toLowerCase()).length > 1 ? p.id : "", state.online.has(p.id) ? "online" : ""].filter(Boolean).join(" · ");
    button.setAttribute("aria-pressed", String(chosen.has(p.id)));
  });
  $("persons-empty").hidden = found.length > 0;
  $("group-title-field").hidden = purpose === "invite" || chosen.size < 2;
  $("people-done").textContent = purpose === "talk" && chosen.size > 1 ? "Make the group" : purposes[purpose].done;
  $("people-done").disabled = chosen.size === 0;
}

async function finish() {
  const ids = [...chosen.keys()];
  if (ids.length === 0) return;
  try {
    if (purpose === "invite") {
      await request("im.invite", { channel: group.id, users: ids });
      toast(`Invited: ${ids.map(nameOf).join(", ")}`);
      group.people = null;
      $("people").close();
      return go(group);
    }
    const title = $("group-title").value.trim();
    if (ids.length > 1 && !title) {
      $("people-error").textContent = "Give the group a name.";
      return $("group-title").focus();
    }
    const made = ids.length > 1 ? await request("im.create", { title, invite: ids }) : await request("im.private", { user: ids[0] });
    $("people").close();
    go(adopt(made));
  } catch (err) {
    $("people-error").textContent = explain(err);
  }
}
