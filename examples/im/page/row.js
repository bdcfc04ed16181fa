// How one message looks.
import { avatar, dayName, dayOf, isSticker, tone } from "./dom.js";
import { copy, full, shownSize, thumb } from "./pictures.js";
import { nameOf, state } from "./store.js";
import { el, icon, iconButton, nameOfPicture, plain, rich, timeOf } from "./words.js";

const SHARP = 150_000; // bytes
const TOGETHER = 5 * 60_000; // ms within which messages of one person stand together

// look says how a stored message or one of the outbox stands between its neighbours: what drawing
// it depends on. before and after are undefined where there are none, or they are not loaded.
export function lookOf(c, m, before, after) {
  const own = m.cid !== undefined && m.from === undefined ? true : m.from === state.me.id;
  const day = !before || before.gone || dayOf(before.at) !== dayOf(m.at);
  const fresh = c.fresh > 0 && c.fresh === m.n;
  return {
    own,
    day: day ? dayOf(m.at) : "",
    fresh,
    follows: !day && !fresh && together(before, m),
    followed: Boolean(after) && dayOf(after.at) === dayOf(m.at) && after.n !== c.fresh && together(m, after),
    status: own ? statusOf(c, m) : "",
  };
}

const sender = (m) => m.from ?? state.me.id;
const together = (a, b) => !a.gone && sender(a) === sender(b) && b.at - a.at < TOGETHER;

function statusOf(c, m) {
  if (m.n === undefined) return m.state;
  if (c.kind === "private") return (c.reads[c.with?.id] ?? 0) >= m.n ? "read" : "sent";
  if (c.kind === "group" && Object.values(c.reads).some((n) => n >= m.n)) return "read";
  return "sent";
}

const STATUS = {
  waiting: ["clock", "Waiting to be sent"],
  sending: ["clock", "Being sent"],
  sent: ["check", "Sent"],
  read: ["checks", "Read"],
  failed: ["warn", "Not sent"],
};

// drawMessage makes a message's element. Its buttons say what they do in data-do; the view listens
// for all of them.
export function drawMessage(c, m, look, quoted) {
  const node = el("article", { class: "row", tabIndex: -1, "data-n": String(m.n ?? ""), "data-cid": m.n === undefined ? m.cid : "" });
  if (look.day) node.append(el("p", { class: "divider" }, el("span", {}, dayName(m.at))));
  if (look.fresh) node.append(el("p", { class: "divider fresh" }, el("span", {}, "New messages")));
  const name = m.name ?? state.me.name;
  const message = el("div", { class: "message", "data-tone": tone(name), "data-state": look.status });
  for (const [is, what] of [[look.own, "own"], [look.follows, "follows"], [look.followed, "followed"]]) if (is) message.classList.add(what);
  if (m.text && !m.picture && !m.reply && isSticker(m.text)) message.classList.add("sticker");
  const body = el("div", { class: "body" });
  body.append(el("p", { class: "from" }, el("span", { class: "name" }, name)));
  body.append(m.gone || m.deleted ? el("div", { class: "bubble taken" }, m.gone ? "This message is not there any more" : "Deleted message", meta(m, look)) : bubble(m, look, quoted));
  if (look.status === "failed") body.append(failure(m));
  message.append(avatar(name), body);
  if (m.n !== undefined && !m.gone && !m.deleted) {
    // Tab comes to them from their message only: they must not stand in the way of who goes on.
    message.append(el("div", { class: "tools" },
      iconButton("reply", "Reply", { "data-do": "reply", tabIndex: -1 }),
      iconButton("more", "More", { "data-do": "more", "aria-haspopup": "menu", tabIndex: -1 })));
  }
  node.append(message);
  return node;
}

function bubble(m, look, quoted) {
  const node = el("div", { class: "bubble" });
  if (m.reply) node.append(quote(m, quoted));
  if (m.picture || m.prepared) node.append(picture(m));
  if (m.text) node.append(el("p", { class: "text", dir: "auto" }, ...rich(m.text, m.mentions), meta(m, look)));
  else node.append(meta(m, look));
  if (m.picture || m.prepared) node.classList.add("with-picture");
  return node;
}

function quote(m, quoted) {
  const node = el("button", { type: "button", class: "quote", "data-do": "quoted", "data-tone": tone(quoted?.name ?? "") });
  node.append(el("span", { class: "hidden" }, "Reply to "), el("strong", {}, quoted?.name || "…"), el("span", {}, quoted ? plain(quoted) : "…"));
  return node;
}

function picture(m) {
  const size = shownSize(m.picture ?? m.prepared);
  if (!m.picture) {
    const preview = copy(m.prepared.preview);
    preview.style.width = `${size.width}px`;
    preview.style.aspectRatio = `${size.width} / ${size.height}`;
    return el("div", { class: "picture" }, preview, el("span", { class: "spinner", "aria-hidden": "true" }));
  }
  // Where the screen has more pixels than the small version, a picture that is not large is shown
  // as it is.
  const src = devicePixelRatio > 1.25 && m.picture.size < SHARP ? full(m.picture) : thumb(m.picture);
  const image = el("img", { src, alt: nameOfPicture({ name: state.me.name, ...m }), draggable: false, decoding: "async", ...size });
  return el("button", { type: "button", class: "picture", "data-do": "look" }, image);
}

function meta(m, look) {
  const node = el("span", { class: "meta" });
  if (m.edited && !m.deleted) node.append("edited ");
  if (m.at) node.append(el("time", { dateTime: new Date(m.at).toISOString(), title: new Date(m.at).toLocaleString() }, timeOf(m.at)));
  if (look.status) {
    const [symbol, words] = STATUS[look.status];
    node.append(el("span", { class: "status", title: words }, icon(symbol), el("span", { class: "hidden" }, words)));
  }
  return node;
}

function failure(m) {
  return el("p", { class: "failure" }, m.error?.message ? `Not sent: ${m.error.message}. ` : "Not sent. ",
    el("button", { type: "button", class: "link", "data-do": "again" }, "Try again"), " ",
    el("button", { type: "button", class: "link", "data-do": "discard" }, "Delete"));
}

// whoRead names those who have read a message, for its menu.
export const whoRead = (c, m) => Object.entries(c.reads).filter(([, n]) => n >= m.n).map(([id]) => nameOf(id));
