// The page's parts: welcome, list of rooms, people, conversation, composer, and what is shown of the connection. It
// draws what chat.js keeps and hands on what the person does; it decides nothing.
import { $, avatar, el, explain, listNames, onlyHere, paintAvatar, plural, sentence, sync } from "./dom.js";

const NEAR_END = 60; // px: whoever is this close to the end wants to see what comes
const SHOWN_FOR = 6000; // ms for a toast

const narrow = matchMedia("(max-width: 820px)");
const middle = matchMedia("(max-width: 1120px)"); // people are in a drawer
const touch = matchMedia("(hover: none) and (pointer: coarse)");

export class View {
  #state;
  #do;
  #drawer = null; // "rooms" or "people" while one is open
  #opener = null; // what has the focus again when it closes
  #countdown = 0;
  #shown = null; // the room whose messages stand in the page
  #empty = $("empty"); // stands in the page below them
  #stuck = true; // the reader is at the end, and stays there when something comes
  #peopleWanted = true; // on wide pages, where people stand beside the conversation

  constructor(state, actions) {
    this.#state = state;
    this.#do = actions;
    this.#wireWelcome();
    this.#wireRooms();
    this.#wireConversation();
    this.#wireComposer();
    this.#wireTheme();
    $("ended-back").onclick = () => {
      $("ended").close();
      actions.comeBack();
    };
    $("ended-out").onclick = () => {
      $("ended").close();
      actions.signOut();
    };
    $("ended").oncancel = (event) => event.preventDefault(); // it wants an answer
    for (const query of [narrow, middle]) query.onchange = () => this.closeDrawers();
    this.closeDrawers();
  }

  // ---- welcome

  showWelcome(name, note, room) {
    $("app").hidden = true;
    $("welcome").hidden = false;
    $("name").value = name;
    if (room) $("first-room").value = room;
    $("welcome-note").textContent = note;
    $("welcome-note").hidden = note === "";
    document.title = "nano chat";
    $("name").focus();
  }

  showApp() {
    $("welcome").hidden = true;
    $("app").hidden = false;
    this.rooms();
    if (!touch.matches) $("text").focus();
    this.#toEnd();
  }

  #wireWelcome() {
    $("enter").onsubmit = async (event) => {
      event.preventDefault();
      const name = $("name").value;
      const room = $("first-room").value.trim().replace(/^#+/, "");
      this.#fieldError("name", "");
      this.#fieldError("first-room", "");
      if ([...room].length > this.#state.limits.name) {
        return this.#fieldError("first-room", `A room's name has at most ${this.#state.limits.name} characters.`);
      }
      $("enter-button").disabled = true;
      try {
        await this.#do.enter(name, room);
      } catch (err) {
        this.#fieldError("name", err.code === "unavailable" ? "The server cannot be reached right now. It is tried again and again; join as soon as it is back." : explain(err));
      } finally {
        $("enter-button").disabled = false;
      }
    };
    $("name").oninput = () => this.#fieldError("name", "");
    $("first-room").oninput = () => this.#fieldError("first-room", "");
  }

  // fieldError shows what is wrong with a field, next to it; "" takes it back.
  #fieldError(id, message) {
    const node = $(`${id}-error`);
    if (node.textContent === message) return;
    node.textContent = message;
    const field = $(id);
    field.setAttribute("aria-invalid", String(message !== ""));
    if (message !== "") field.focus();
  }

  // ---- rooms and people

  #wireRooms() {
    $("open-room").onsubmit = async (event) => {
      event.preventDefault();
      const name = $("new-room").value.trim().replace(/^#+/, "");
      try {
        await this.#do.openRoom(name);
        $("new-room").value = "";
      } catch (err) {
        this.#fieldError("new-room", explain(err));
      }
    };
    $("new-room").oninput = () => this.#fieldError("new-room", "");
    $("sign-out").onclick = () => this.#do.signOut();
    $("show-rooms").onclick = () => this.#openDrawer("rooms", $("show-rooms"));
    $("show-people").onclick = () => {
      if (middle.matches) return this.#openDrawer("people", $("show-people"));
      this.#peopleWanted = !this.#peopleWanted;
      this.closeDrawers();
    };
    $("hide-people").onclick = () => this.closeDrawers();
    $("scrim").onclick = () => this.closeDrawers();
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#drawer) this.closeDrawers();
      if (event.altKey && !event.ctrlKey && !event.metaKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
        const { rooms, active } = this.#state;
        if (rooms.length < 2 || $("app").hidden) return;
        event.preventDefault();
        const step = event.key === "ArrowUp" ? rooms.length - 1 : 1;
        this.#do.select(rooms[(rooms.indexOf(active) + step) % rooms.length]);
      }
    });
  }

  // rooms draws the lists of rooms, the badges and the page's title.
  rooms() {
    const { rooms, list, active, entered } = this.#state;
    sync($("joined"), rooms, (room) => room.name.toLowerCase(), (item, room) => {
      const button = item.firstChild ?? item.appendChild(roomButton());
      button.onclick = () => this.#do.select(room);
      button.setAttribute("aria-current", room === active ? "true" : "false");
      button.classList.toggle("unread", room.unread > 0);
      drawRoom(button, room.name, room.unread > 0 ? badgeText(room.unread) : "", plural(room.unread, "unread message"));
    });
    const others = list.filter((r) => !rooms.some((room) => room.name.toLowerCase() === r.name.toLowerCase()));
    sync($("others"), others, (r) => r.name.toLowerCase(), (item, r) => {
      const button = item.firstChild ?? item.appendChild(roomButton());
      button.onclick = () => this.#do.openRoom(r.name).catch((err) => this.toast(explain(err), true));
      button.disabled = !entered;
      drawRoom(button, r.name, entered ? String(r.members) : "", `${plural(r.members, "person", "people")} there`);
    });
    $("joined-empty").hidden = rooms.length > 0;
    $("others-empty").hidden = others.length > 0;
    $("others-empty").textContent = entered ? "No others right now. Open one below." : "Not known without the server.";

    const unread = rooms.reduce((n, room) => n + room.unread, 0);
    const elsewhere = unread - (active?.unread ?? 0);
    $("elsewhere").hidden = elsewhere === 0;
    $("elsewhere").textContent = badgeText(elsewhere);
    $("show-rooms").setAttribute("aria-label", elsewhere > 0 ? `Rooms, ${plural(elsewhere, "unread message")} elsewhere` : "Rooms");
    document.title = `${unread > 0 ? `(${badgeText(unread)}) ` : ""}${active ? `#${active.name} – ` : ""}nano chat`;
    this.#drawJump();
  }

  // people draws who one is and who is in the active room.
  people() {
    const { me, active } = this.#state;
    const known = active?.ready ?? true;
    if (me) {
      paintAvatar($("me-avatar"), me.name);
      $("me-name").textContent = me.name;
      $("me-name").title = me.name;
    }
    const names = active?.members ?? [];
    $("people-title").textContent = !known && active.epoch !== "" ? "Who was here" : names.length > 0 ? `People here · ${names.length}` : "People here";
    $("people").toggleAttribute("data-stale", !known);
    sync($("members"), names, (name) => name.toLowerCase(), (item, name) => {
      if (item.firstChild) return;
      item.append(avatar(name), el("span", { class: "who", title: name, dir: "auto" }, name));
      if (name.toLowerCase() === me?.name.toLowerCase()) item.append(el("span", { class: "you" }, "you"));
    });
    const others = names.filter((name) => name.toLowerCase() !== me?.name.toLowerCase());
    let sub = "";
    if (active && !active.ready) sub = active.epoch === "" ? "Coming in…" : "Not connected";
    else if (active) sub = others.length === 0 ? "Only you are here" : `You and ${listNames(others)}`;
    $("room-sub").textContent = sub;
  }

  #openDrawer(which, opener) {
    this.#drawer = which;
    this.#opener = opener;
    this.#drawDrawers();
    (which === "rooms" ? $("sidebar") : $("people")).querySelector("button, input")?.focus();
  }

  closeDrawers() {
    const opener = this.#drawer ? this.#opener : null;
    this.#drawer = null;
    this.#drawDrawers();
    opener?.focus();
  }

  // What is out of sight must not be reached by the keyboard either.
  #drawDrawers() {
    const open = this.#drawer;
    document.body.dataset.drawer = open ?? "";
    const people = open === "people" || (!middle.matches && this.#peopleWanted);
    $("sidebar").inert = narrow.matches && open !== "rooms";
    $("people").hidden = !middle.matches && !people;
    $("people").inert = !people;
    document.querySelector(".conversation").inert = open !== null;
    $("show-rooms").setAttribute("aria-expanded", String(open === "rooms"));
    $("show-people").setAttribute("aria-expanded", String(people));
  }

  // ---- conversation

  #wireConversation() {
    const scroll = $("scroll");
    scroll.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => {
      if (this.#stuck) this.#toEnd(); // a keyboard that opens must not hide the last message
    }).observe(scroll);
    document.addEventListener("visibilitychange", () => this.#seen());
    window.addEventListener("focus", () => this.#seen());
    $("jump").onclick = () => {
      this.#toEnd(true);
      if (!touch.matches) $("text").focus();
    };
    $("leave-room").onclick = () => this.#state.active && this.#do.leave(this.#state.active);
    $("copy-link").onclick = () => this.#copyLink();
    $("banner-button").onclick = () => this.#do.retryNow();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = $("scroll");
    this.#stuck = scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.#drawJump();
    this.#seen();
  }

  #seen() {
    if (this.#state.active && this.isReading(this.#state.active)) this.#do.read();
  }

  #toEnd(smooth = false) {
    const scroll = $("scroll");
    this.#stuck = true;
    scroll.scrollTo({ top: scroll.scrollHeight, behavior: smooth ? "smooth" : "instant" });
    this.#drawJump();
    this.#seen();
  }

  // isReading tells whether what is added to a room's end is seen at once.
  isReading(room) {
    return room === this.#state.active && this.#stuck && !document.hidden && !$("app").hidden;
  }

  // select shows the active room.
  select() {
    const room = this.#state.active;
    const text = $("text");
    if (this.#shown) {
      this.#shown.draft = text.value;
      this.#shown.log.scrollTop = this.#stuck ? null : $("scroll").scrollTop;
    }
    this.#shown = room;
    text.value = room?.draft ?? "";
    text.disabled = room === null;
    text.placeholder = room ? `Message #${room.name}` : "Join a room to write";
    this.#fieldError("text", "");
    this.#count();
    $("scroll").replaceChildren(...(room ? [room.log.element, room.log.outbox] : []), this.#empty);
    history.replaceState(null, "", room ? `#${encodeURIComponent(room.name)}` : location.pathname);
    this.room(room);
    this.rooms();
    const fresh = room?.log.fresh;
    if (fresh) {
      fresh.scrollIntoView({ block: "center" });
      this.#scrolled();
    } else if (room && room.log.scrollTop !== null) {
      $("scroll").scrollTop = room.log.scrollTop;
      this.#scrolled();
    } else {
      this.#toEnd();
    }
    if (!touch.matches && !$("app").hidden && room) text.focus();
  }

  // room draws what is around the messages of a room, if that is the one in sight.
  room(room) {
    const { active } = this.#state;
    if (room !== active) return this.rooms();
    $("room-title").textContent = active ? `#${active.name}` : "nano chat";
    $("room-title").title = active?.name ?? "";
    for (const id of ["leave-room", "copy-link", "show-people"]) $(id).hidden = active === null;
    if (active) $("leave-room").setAttribute("aria-label", `Leave #${active.name}`);
    this.people();
    this.typing();
    this.#drawEmpty();
    if (this.#stuck) this.#toEnd();
  }

  // received: something was added to a room's messages, or taken from them; own says that it is one's own.
  received(room, own) {
    if (room !== this.#state.active) return this.rooms();
    this.#drawEmpty();
    this.typing();
    if (own || this.#stuck) this.#toEnd();
    this.rooms();
  }

  // noticed: somebody came or left.
  noticed(room) {
    if (room !== this.#state.active) return;
    this.people();
    this.received(room, false);
    this.typing();
  }

  #drawEmpty() {
    const { active, rooms, limits } = this.#state;
    const empty = this.#empty;
    const button = $("empty-button");
    if (!active) {
      $("empty-title").textContent = "Pick a room";
      $("empty-text").textContent = rooms.length === 0 ? "You are in no room. Join one from the list, or open your own." : "";
      button.textContent = "Show the rooms";
      button.hidden = !narrow.matches;
      button.onclick = () => this.#openDrawer("rooms", $("show-rooms"));
      empty.hidden = false;
      return;
    }
    const silent = active.ready && active.log.isEmpty;
    empty.hidden = !silent;
    if (!silent) return;
    $("empty-title").textContent = "Nobody has said anything yet";
    $("empty-text").textContent = `Say hello. The last ${limits.history} messages are kept for those who come later.`;
    button.textContent = "Copy a link to invite people";
    button.hidden = false;
    button.onclick = () => this.#copyLink();
  }

  #drawJump() {
    const room = this.#state.active;
    const button = $("jump");
    button.hidden = this.#stuck || !room;
    $("jump-text").textContent = room?.unread > 0 ? plural(room.unread, "new message") : "To the end";
    button.classList.toggle("unread", room?.unread > 0);
  }

  async #copyLink() {
    const link = location.href;
    try {
      await navigator.clipboard.writeText(link);
      this.toast(onlyHere ? "The link is copied. It works on this machine only." : "The link is copied.");
    } catch {
      this.toast(`Copy this link: ${link}`);
    }
  }

  typing() {
    const names = [...(this.#state.active?.typing.keys() ?? [])];
    $("typing").textContent = names.length === 0 ? "" : names.length > 3 ? "Several people are typing…" : `${listNames(names)} ${names.length === 1 ? "is" : "are"} typing…`;
    $("typing").classList.toggle("on", names.length > 0);
  }

  // ---- composer

  #wireComposer() {
    const text = $("text");
    $("composer").onsubmit = (event) => {
      event.preventDefault();
      const problem = this.#do.send(text.value);
      this.#fieldError("text", problem);
      if (problem === "") text.value = "";
      this.#count();
      text.focus();
    };
    text.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      $("composer").requestSubmit();
    };
    text.oninput = () => {
      this.#fieldError("text", "");
      this.#count();
      this.#do.edited(text.value);
    };
  }

  // count shows how much room is left when the limit comes near, and lets the field grow with its text.
  #count() {
    const text = $("text");
    const { limits } = this.#state;
    const length = [...text.value.trim()].length;
    $("count").textContent = length > limits.text * 0.8 ? String(limits.text - length) : "";
    $("count").classList.toggle("over", length > limits.text);
    $("send").classList.toggle("ready", length > 0 && length <= limits.text);
    if (!CSS.supports("field-sizing", "content")) {
      text.style.height = "auto";
      text.style.height = `${text.scrollHeight}px`;
    }
  }

  // ---- connection

  // connection shows whether there is one, and what is being done about it.
  connection({ state = "open", reason = "", retryAt = 0 } = {}) {
    const { me, away, entered } = this.#state;
    const words = { connecting: away ? "Reconnecting…" : "Connecting…", open: "Connected", waiting: "Server away", closed: "Disconnected" }[state];
    for (const id of ["connection", "welcome-connection"]) {
      $(id).dataset.state = state;
      $(id).querySelector(".words").textContent = words;
    }
    clearInterval(this.#countdown);
    const lost = me !== null && (away || state === "closed") && !(state === "open" && entered);
    const banner = $("banner");
    if (!lost) {
      banner.hidden = true;
    } else if (state === "waiting") {
      this.#announce("The server is away. What you write is sent when it is back.");
      banner.hidden = false;
      banner.title = reason;
      const count = () => {
        const left = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
        $("banner-count").textContent = `${left} s`;
      };
      count();
      this.#countdown = setInterval(count, 500);
    }
    $("banner-button").hidden = state !== "waiting";
    this.people();
    this.rooms();
    this.#drawEmpty();
  }

  // announce sets the banner's words, which are read out, only when they are others.
  #announce(words) {
    if ($("banner-text").textContent !== words || $("banner").hidden) $("banner-text").textContent = words;
  }

  // ended asks what to do after the server ended the connection for good.
  ended({ title, text, back }) {
    $("ended-title").textContent = title;
    $("ended-text").textContent = sentence(text);
    $("ended-back").textContent = back;
    $("ended-out").hidden = this.#state.me === null;
    $("banner").hidden = true;
    if (!$("ended").open) $("ended").showModal();
  }

  // toast says something for a few seconds.
  toast(message, isError = false) {
    const close = el("button", { type: "button", class: "link", onclick: () => node.remove() }, "Close");
    const node = el("div", { class: isError ? "toast error" : "toast", role: isError ? "alert" : undefined }, el("p", {}, sentence(message)), close);
    $("toasts").append(node);
    setTimeout(() => node.remove(), SHOWN_FOR);
  }

  // ---- colours

  #wireTheme() {
    const button = $("theme");
    const names = { "": "as the system", light: "light", dark: "dark" };
    const apply = (theme) => {
      document.documentElement.dataset.theme = theme;
      button.setAttribute("aria-label", `Colours: ${names[theme]}`);
      button.title = `Colours: ${names[theme]}`;
    };
    let theme = "";
    try {
      theme = localStorage.getItem("nano-chat-theme") ?? "";
    } catch {
      // not kept
    }
    apply(theme in names ? theme : "");
    button.onclick = () => {
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      const order = dark ? ["", "light", "dark"] : ["", "dark", "light"];
      const next = order[(order.indexOf(document.documentElement.dataset.theme) + 1) % 3];
      apply(next);
      try {
        localStorage.setItem("nano-chat-theme", next);
      } catch {
        // not kept
      }
    };
  }
}

const badgeText = (n) => (n > 99 ? "99+" : String(n));

function roomButton() {
  return el("button", { type: "button", class: "room" },
    el("span", { class: "hash", "aria-hidden": "true" }, "#"),
    el("span", { class: "room-name", dir: "auto" }),
    el("span", { class: "badge", "aria-hidden": "true" }),
    el("span", { class: "hidden" }), // what the badge means
  );
}

function drawRoom(button, name, badge, meaning) {
  button.title = name;
  button.querySelector(".room-name").textContent = name;
  const node = button.querySelector(".badge");
  node.textContent = badge;
  node.hidden = badge === "";
  button.querySelector(".hidden").textContent = badge === "" ? "" : meaning;
}
