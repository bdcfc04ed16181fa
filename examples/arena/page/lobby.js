// The lobby: a name, a room, and the list of those that there are.
import { $, el, plural, sentence, sync } from "./dom.js";

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
  }

  // list shows the rooms.
  list({ rooms, backends }) {
    $("no-rooms").hidden = rooms.length > 0;
    const several = (backends?.length ?? 0) > 1;
    sync(
      $("rooms"),
      rooms,
      (r) => `${r.name}\n${r.backend}`,
      (item, r) => {
        const full = r.people >= r.places;
        const people = plural(r.people, "person", "people");
        item.replaceChildren(
          el(
            "button",
            { type: "button", class: "room", "data-room": r.name, disabled: full, "aria-label": `Play in ${r.name}, ${full ? "full" : people}` },
            el("b", {}, r.name),
            el("span", {}, full ? "full" : people),
            ...(several ? [el("small", {}, r.backend)] : []),
          ),
        );
      },
    );
  }

  show(why) {
    $("lobby").hidden = false;
    $("game").hidden = true;
    $("enter-error").textContent = why ? sentence(why) : "";
    document.title = "nano arena";
    $("play").focus();
  }

  hide() {
    $("lobby").hidden = true;
    $("game").hidden = false;
  }

  #go(wanted) {
    const name = $("name").value.trim().replace(/\s+/g, " ");
    if (!name) {
      $("enter-error").textContent = "A name is needed.";
      $("name").setAttribute("aria-invalid", "true");
      return $("name").focus();
    }
    $("name").removeAttribute("aria-invalid");
    if (!this.#ready) {
      $("enter-error").textContent = "The server cannot be reached right now.";
      return;
    }
    $("enter-error").textContent = "";
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
