// What the page knows: who one is, the channels, who is online; and the events by which its parts
// hear of changes.

export const state = {
  me: null, // {id, name}
  limits: { text: 4000, title: 60, picture: 1 << 20, page: 100, mentions: 50 }, // the server says the real ones
  channels: new Map(), // Channel by id
  rooms: [], // live rooms: {id, title, viewers}
  online: new Set(), // ids of people
  names: new Map(), // names by id, of people whom the page has met
  active: null, // the Channel that is shown
  ready: false, // the connection is open, and the channels are known
};

// Emitter tells listeners of events.
class Emitter {
  #listeners = new Map();

  // on calls the listener at each such event; the result takes it back.
  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
    return () => this.#listeners.get(event).delete(listener);
  }

  emit(event, ...values) {
    for (const listener of this.#listeners.get(event) ?? []) listener(...values);
  }
}

// The events: "channels" (the list has changed), "channel" (what the list shows of one), "messages"
// (of one: what is shown of them has to be looked at again), "arrived" (a message of somebody
// else), "reset" (of one: its messages begin anew), "gone" (of one), "typing", "presence", "rooms",
// "connection", "tick".
export const events = new Emitter();

// met notes how somebody is called.
export function met({ id, name }) {
  if (id && name) state.names.set(id, name);
}

export const nameOf = (id) => state.names.get(id) ?? id;

// titleOf is how a channel is called here: a private one as the other person.
export const titleOf = (c) => c.title || c.with?.name || (c.with && nameOf(c.with.id)) || "No title";

// freshId makes an id. crypto.randomUUID is not there on a phone that reaches this machine by http.
export const freshId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// kept is what this browser keeps for the page. Storage may be forbidden; then nothing is kept.
export const kept = {
  get(key) {
    try {
      return JSON.parse(localStorage.getItem(`nano-im-${key}`));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(`nano-im-${key}`);
      else localStorage.setItem(`nano-im-${key}`, JSON.stringify(value));
    } catch {
      // not kept
    }
  },
};
