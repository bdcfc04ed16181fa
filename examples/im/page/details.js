// What there is to know of a channel: its members, and what one may do with them and with it.
import { $, avatar, explain, plural, sync } from "./dom.js";
import { adopt, request } from "./connection.js";
import { members } from "./mentions.js";
import { openPeople } from "./people.js";
import { events, state, titleOf } from "./store.js";
import { ask, menu, toast } from "./ui.js";
import { el, iconButton } from "./words.js";

let c = null;
let open = false;

const RANK = { owner: 3, admin: 2, member: 1, invited: 0 };
const rank = (role) => RANK[role] ?? 0;
const manages = () => c.kind === "group" && rank(c.role) >= 2;

export function wireDetails() {
  $("details-toggle").onclick = () => setOpen(!open);
  $("details-close").onclick = () => {
    setOpen(false);
    $("details-toggle").focus();
  };
  $("invite").onclick = () => openPeople(c);
  $("leave").onclick = leave;
  $("rename").onsubmit = rename;
  $("details").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    setOpen(false);
    $("details-toggle").focus();
  });
  events.on("channel", (channel) => channel === c && open && c.role !== "invited" && draw());
  events.on("presence", () => c && open && draw());
  events.on("started", () => c && open && load());
}

// showDetails is called when a channel is opened; null: none is.
export function showDetails(channel) {
  c = channel;
  $("details-toggle").hidden = !c || c.kind === "live" || c.role === "invited";
  if (!c || c.kind === "live" || c.role === "invited") return setOpen(false);
  if (matchMedia("(max-width: 1120px)").matches) setOpen(false);
  if (open) load();
}

function setOpen(value) {
  open = value;
  $("details").hidden = !open;
  $("app").classList.toggle("with-details", open);
  $("details-toggle").setAttribute("aria-expanded", String(open));
  if (!open) return;
  load();
  if (matchMedia("(max-width: 1120px)").matches) $("details-close").focus();
}

// load asks who is in the channel. From then on the server tells who comes and goes.
async function load() {
  draw();
  const channel = c;
  try {
    await members(channel);
  } catch (err) {
    if (channel === c && state.ready) toast(explain(err), { error: true });
  }
  if (channel !== c || !open) return;
  draw();
  events.emit("described", c);
}

const order = (a, b) => rank(b.role) - rank(a.role) || Number(state.online.has(b.id)) - Number(state.online.has(a.id)) || a.name.localeCompare(b.name);

function draw() {
  const people = [...(c.people?.values() ?? [])].sort(order);
  $("details-title").textContent = titleOf(c);
  $("details-kind").textContent = { global: "Everybody can read and write here.", group: `Group · ${plural(c.members, "member")}`, private: "A conversation between two people" }[c.kind];
  $("rename").hidden = $("invite").hidden = !manages();
  if (document.activeElement !== $("rename-title")) $("rename-title").value = c.title;
  $("leave").hidden = c.kind !== "group";
  $("members-title").textContent = c.kind === "global" ? "People" : "Members";
  const twins = Map.groupBy(people, (p) => p.name.toLowerCase());
  sync($("members"), people, (p) => p.id, (item, p) => drawMember(item, p, twins.get(p.name.toLowerCase()).length > 1));
}

// drawMember shows a member; one of two of the same name with the id.
function drawMember(item, p, twin) {
  if (!item.firstElementChild) {
    item.append(el("span", { class: "face" }, avatar(p.name)), el("span", { class: "title" }), el("span", { class: "hint" }),
      iconButton("more", `Actions for ${p.name}`, { "aria-haspopup": "menu" }));
  }
  const [face, title, hint, more] = item.children;
  const here = state.online.has(p.id);
  face.classList.toggle("online", here);
  title.textContent = p.id === state.me.id ? `${p.name} (you)` : p.name;
  hint.textContent = [twin ? p.id : "", p.role === "member" || !p.role ? "" : p.role, here ? "online" : ""].filter(Boolean).join(" · ");
  const list = actions(p);
  more.hidden = list.length === 0;
  more.onclick = () => menu(more, list);
}

function actions(p) {
  if (p.id === state.me.id) return [];
  const list = [];
  if (c.kind !== "private") list.push({ icon: "chat", label: "Write to", run: () => talkTo(p) });
  if (c.kind !== "group") return list;
  const role = (to) => () => change("im.role", { user: p.id, role: to });
  if (c.role === "owner" && p.role === "member") list.push({ icon: "star", label: "Make admin", run: role("admin") });
  if (c.role === "owner" && p.role === "admin") list.push({ icon: "star", label: "No longer admin", run: role("member") });
  if (c.role === "owner" && p.role !== "invited") {
    list.push({ icon: "key", label: "Make owner", run: async () => (await ask(`Make ${p.name} the owner?`, "You stay as an admin.", "Make owner")) && role("owner")() });
  }
  if (manages() && rank(p.role) < rank(c.role)) {
    list.push({ icon: "bin", label: p.role === "invited" ? "Take the invitation back" : "Remove", danger: true, run: async () => (await ask(`Remove ${p.name}?`, `${p.name} can read nothing here any more.`, "Remove", { danger: true })) && change("im.remove", { user: p.id }) });
  }
  return list;
}

async function talkTo(p) {
  try {
    events.emit("go", adopt(await request("im.private", { user: p.id })));
  } catch (err) {
    toast(explain(err), { error: true });
  }
}

async function change(route, value) {
  try {
    await request(route, { channel: c.id, ...value });
    load();
  } catch (err) {
    toast(explain(err), { error: true });
  }
}

async function rename(event) {
  event.preventDefault();
  const title = $("rename-title").value.trim();
  if (title === c.title) return;
  try {
    adopt(await request("im.rename", { channel: c.id, title }));
    toast("Renamed.");
  } catch (err) {
    toast(explain(err), { error: true });
  }
}

async function leave() {
  if (!(await ask(`Leave ${titleOf(c)}?`, "You can read and write there no more, unless somebody invites you again.", "Leave", { danger: true }))) return;
  try {
    await request("im.leave", { channel: c.id });
  } catch (err) {
    toast(explain(err), { error: true });
  }
}
