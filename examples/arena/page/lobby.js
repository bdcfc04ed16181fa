// The lobby: a name, a room, and the list of those that there are.
import { $, el, onlyHere, plural, sync } from "./dom.js";

const KEPT = "nano-arena";

export class Lobby {
  #ready = false;

  // play is called with a name and a room.
  constructor(play) {
    $("name").value = localStorage.getItem(KEPT) ?? "";
    $("room").value = room();
    this.play = play;
    if (!$("name").value && matchMedia("(hover: hover)").matches) $("name").focus();
    $("enter").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#go($("room").value);
    });
    $("rooms").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#go(button.dataset.room);
    });
    addEventListener("hashchange", () => ($("room").value = room()));
  }

  // connection shows whether one can play at all.
  connection({ state }) {
    this.#ready = state === "open" || state === "closed"; // closed: playing opens it again
    const box = $("lobby-connection");
    box.dataset.state = state;
    box.querySelector(".words").textContent = { connecting: "Connecting…", open: "Connected", waiting: "Server away, trying again", closed: "Disconnected" }[state];
    if (state === "open") {
      if ($("enter-error").hasAttribute("data-passing")) this.say("");
    } else {
      this.list({ rooms: [], known: false }); // whatever it was, nobody can tell now
    }
  }

  // opened shows what the gate has said.
  opened({ phone, ...overview }) {
    this.list(overview);
    const text = $("phone-text");
    $("phone").hidden = false;
    if (!onlyHere) text.textContent = `Open ${location.origin} there.`;
    else if (phone.url) text.replaceChildren("In the same network, open ", el("b", {}, phone.url), " there.");
    else if (phone.flag) text.replaceChildren("Only this machine can open this page. To let others in, start the server with ", el("code", {}, phone.flag), ".");
    else $("phone").hidden = true;
  }

  // list shows the rooms; known says whether these are all.
  list({ rooms, backends, known = true, round = 0 }) {
    this.rules(round);
    $("no-rooms").hidden = rooms.length > 0;
    $("no-rooms").textContent = known ? "None yet. Play, and there is one." : this.#ready ? "There is no list right now. You can play all the same." : "Not known without the server.";
    const several = (backends?.length ?? 0) > 1;
    sync(
      $("rooms"),
      rooms,
      (r) => `${r.name}\n${r.backend}`,
      (item, r) => {
        const full = r.people >= r.places;
        const people = plural(r.people, "person", "people");
        const what = [r.name, full ? "full" : people, ...(several ? [r.backend] : [])];
        const parts = what.flatMap((text, i) => [el(["b", "span", "small"][i], {}, text), " "]);
        item.replaceChildren(el("button", { type: "button", class: "room", "data-room": r.name, disabled: full, "aria-label": `Play in ${what.join(", ")}` }, ...parts));
      },
    );
  }

  show(why) {
    $("lobby").hidden = false;
    $("game").hidden = true;
    $("how").querySelector("h2").after($("rules"));
    this.say(why ?? "");
    document.title = "nano arena";
    $("play").focus();
  }

  hide() {
    $("lobby").hidden = true;
    $("game").hidden = false;
    $("rules-panel").append($("rules"));
  }

  // say shows what is wrong. What passes by itself goes when the server is back.
  say(text, passing = false) {
    $("enter-error").textContent = text;
    $("enter-error").toggleAttribute("data-passing", passing);
  }

  // rules sets how long a round is, as far as that is known.
  rules(seconds) {
    if (!seconds) return;
    for (const node of document.querySelectorAll("[data-rule]")) {
      node.textContent = String(node.dataset.rule === "round" ? seconds : Math.floor(seconds / 3));
    }
  }

  #go(wanted) {
    const name = $("name").value.trim().replace(/\s+/g, " ");
    if (!name) {
      this.say("A name is needed.");
      $("name").setAttribute("aria-invalid", "true");
      return $("name").focus();
    }
    $("name").removeAttribute("aria-invalid");
    if (!this.#ready) {
      return this.say("The server cannot be reached right now. It is tried again and again.", true);
    }
    this.say("");
    localStorage.setItem(KEPT, name);
    const chosen = wanted.trim().replace(/^#/, "").replace(/\s+/g, " ") || "lobby";
    history.replaceState(null, "", `#${encodeURIComponent(chosen)}`);
    this.play(name, chosen);
  }
}

// room is the one that the address names.
function room() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // not an address that this page has made
  }
}
