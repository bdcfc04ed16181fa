// The list of channels: who has written last, how much is new.
import { $, avatar, dayOf, plural, sync, tone } from "./dom.js";
import { events, state, titleOf } from "./store.js";
import { el, icon, plain, when } from "./words.js";

let choose;
let filter = "";
let queued = false;

// wireList has the list call go with what is chosen: a Channel, or a live room.
export function wireList(go) {
  choose = go;
  $("filter").oninput = () => {
    filter = $("filter").value.trim().toLowerCase();
    draw();
    events.emit("find", $("filter").value.trim());
  };
  for (const event of ["channels", "channel", "presence", "gone", "new", "rooms", "shown"]) events.on(event, later);
  events.on("typing", later);
}

function later() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    draw();
  });
}

const newest = (c) => (c.role === "invited" ? Number.MAX_SAFE_INTEGER : (c.last?.at ?? 0));

// inOrder returns the channels, those in which something has happened last first.
export const inOrder = () => [...state.channels.values()].filter((c) => c.kind !== "live").sort((a, b) => newest(b) - newest(a) || byName.compare(titleOf(a), titleOf(b)));

const byName = new Intl.Collator();

export function draw() {
  if (!state.me) return;
  const list = inOrder().filter((c) => !filter || titleOf(c).toLowerCase().includes(filter));
  sync($("channels"), list, (c) => c.id, drawItem);
  $("channels-empty").hidden = list.length > 0;
  const rooms = state.rooms.filter((r) => !filter || r.title.toLowerCase().includes(filter));
  $("rooms-title").hidden = rooms.length === 0;
  sync($("rooms"), rooms, (r) => r.id, drawRoom);
  drawTitle();
}

// drawTitle tells of what is new in the window's title.
function drawTitle() {
  let unread = 0;
  for (const c of state.channels.values()) unread += c.kind === "private" || c.kind === "group" ? c.unread : c.mentioned;
  const where = state.active ? titleOf(state.active) : state.room?.title;
  document.title = `${unread > 0 ? `(${unread > 99 ? "99+" : unread}) ` : ""}${where ? `${where} · ` : ""}Messenger`;
  let others = 0;
  for (const c of state.channels.values()) if (c !== state.active && c.unread > 0) others++;
  $("back-count").hidden = others === 0;
  $("back-count").textContent = String(others);
  $("back").ariaLabel = others > 0 ? `All channels, ${others} with new messages` : "All channels";
}

function drawItem(item, c) {
  const title = titleOf(c);
  let button = item.firstElementChild;
  if (!button) {
    button = el("button", { type: "button", class: "channel" },
      el("span", { class: "face" }),
      el("span", { class: "line" }, el("strong", { class: "title" }), el("span", { class: "when" })),
      el("span", { class: "line" }, el("span", { class: "last" }), el("span", { class: "marks" })));
    item.append(button);
  }
  const sign = signOf(c, title);
  if (item.sign === sign) return; // one may be in very many channels
  item.sign = sign;
  button.onclick = () => choose(c);
  const [face, first, second] = button.children;
  drawFace(face, c);
  first.firstChild.textContent = title;
  first.lastChild.textContent = c.last && c.role !== "invited" ? when(c.last.at) : "";
  second.firstChild.replaceChildren(...preview(c));
  second.lastChild.replaceChildren(...marks(c));
  button.classList.toggle("unread", c.unread > 0);
  button.setAttribute("aria-current", String(state.active === c));
}

// signOf is what the looks of a channel in the list depend on.
function signOf(c, title) {
  const typing = [...c.typing.values()].map((t) => t.name).join();
  const draft = state.active === c ? "" : c.draft.text;
  return [title, c.kind, state.online.has(c.with?.id), state.active === c, c.role, c.last?.n, c.last?.rev, c.unread, c.mentioned, typing, draft, c.pending.at(-1)?.cid, dayOf(Date.now())].join("|");
}

// drawFace draws a channel's picture: a person's avatar with whether that person is here, or a
// symbol.
export function drawFace(face, c) {
  const title = titleOf(c);
  const here = c.kind === "private" && state.online.has(c.with?.id);
  const sign = `${c.kind}|${title}|${here}`;
  if (face.dataset.sign === sign) return;
  face.dataset.sign = sign;
  const symbol = { global: "globe", group: "people", live: "live" }[c.kind];
  const picture = symbol ? el("span", { class: "avatar", "data-tone": tone(title), "aria-hidden": "true" }, icon(symbol)) : avatar(title);
  face.replaceChildren(picture);
  if (here) face.append(el("span", { class: "here", title: "Online" }, el("span", { class: "hidden" }, "online")));
}

function preview(c) {
  if (c.role === "invited") return ["You are invited"];
  const typing = [...c.typing.values()];
  if (typing.length > 0) return [el("em", {}, typing.length > 1 ? `${typing.length} are typing…` : `${typing[0].name} is typing…`)];
  if (c.draft.text && state.active !== c) return [el("em", { class: "draft" }, "Draft: "), c.draft.text];
  const pending = c.pending.at(-1);
  if (pending) return ["You: ", pending.text || "Picture"];
  if (!c.last) return [""];
  const name = c.last.from === state.me.id ? "You: " : c.kind === "private" ? "" : `${c.last.name}: `;
  return [name, plain(c.last)];
}

function marks(c) {
  if (c.role === "invited") return [el("span", { class: "badge strong" }, "new")];
  const list = [];
  if (c.mentioned > 0) list.push(el("span", { class: "badge strong", title: "You are mentioned" }, "@", el("span", { class: "hidden" }, "you are mentioned,")));
  if (c.unread > 0) list.push(el("span", { class: "badge" }, c.unread > 999 ? "999+" : String(c.unread), el("span", { class: "hidden" }, " unread")));
  return list;
}

function drawRoom(item, room) {
  let button = item.firstElementChild;
  if (!button) {
    button = el("button", { type: "button", class: "channel" }, el("span", { class: "face" }),
      el("span", { class: "line" }, el("strong", { class: "title" })), el("span", { class: "line" }, el("span", { class: "last" })));
    item.append(button);
  }
  button.onclick = () => choose(room);
  const [face, first, second] = button.children;
  drawFace(face, { kind: "live", title: room.title, typing: [] });
  first.firstChild.textContent = room.title;
  second.firstChild.textContent = plural(room.viewers ?? 0, "viewer");
  button.setAttribute("aria-current", String(state.room?.id === room.id));
}
