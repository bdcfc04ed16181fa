// The way to the room and back. The connection comes back by itself (nano-websocket-client.js);
// what is here is what one does with it: find the backend that has the room, have a place there,
// and notice when that is gone.
//
//   arena.join    a place in the room; the gate chooses the backend by its name
//   room.input    what one wants, twenty times a second; bytes, and no answer
//   room.state    what has become of it, twenty times a second; bytes
//   room.ping     whether the room is there, and how far away
import { explain, sentence } from "./dom.js";
import { NanoError, bytes, connect } from "./nano-websocket-client.js";
import { input, snapshot } from "./wire.js";

const PING_EVERY = 1000; // ms
const PATIENCE = 2500; // ms, for an answer
const GENTLE = 1500; // ms for which a connection may be away without a word

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Net {
  gate = "";
  backend = "";
  you = -1;
  joined = false;
  ping = 0; // ms, smoothed
  size = 0; // bytes of the last snapshot
  rate = 0; // bytes a second that came as snapshots
  lag; // ms that are added, half of them each way

  #on;
  #client;
  #wanted; // {name, room, token} of who wants to play
  #settling;
  #quiet; // the timer of GENTLE
  #line = { out: 0, back: 0 }; // until when something is on its way, each way
  #heard = { since: 0, bytes: 0 };

  // handlers are functions by name: state, rooms, joined, resumed, lost, left, snapshot, and one
  // for each push of the room.
  constructor(url, lag, handlers) {
    this.lag = lag;
    this.#on = handlers;
    // What is sent while the connection is away is too old when it is back.
    const c = (this.#client = connect(url, { queue: 0, reconnect: { max: 4000 } }));
    c.on("state", (change) => this.#changed(change));
    c.onPush("room.state", (data) => this.#later("back", () => this.#took(data)), { serializer: bytes });
    for (const route of ["room.players", "room.out", "room.took", "room.round"]) {
      c.onPush(route, (value) => this.#later("back", () => this.#on[route.slice(5)](value)));
    }
    c.onPush("gate.rooms", (overview) => this.#on.rooms(overview));
    c.onPush("arena.moved", () => this.#lost("The room moves to another backend."));
    c.onPush("room.taken", () => this.#end("You play in another tab now."));
    this.#watch();
  }

  get state() {
    return this.#client.state;
  }

  // live tells whether one has a place in the room, and a connection to it.
  get live() {
    return this.joined && this.state === "open";
  }

  // play wants a place in a room, for as long as it takes.
  play(name, room, token) {
    this.#wanted = { name, room, token };
    if (this.state === "closed") this.#client.open(); // the server had sent this page away
    this.#settle();
  }

  async leave() {
    this.#end("");
    if (this.state === "open") await this.#client.request("arena.leave", {}, { timeout: PATIENCE }).catch(() => {});
    this.#lobby();
  }

  // send sends one input.
  send(wanted) {
    this.#later("out", () => {
      if (this.live) this.#client.notify("room.input", input(wanted.seq, wanted), { serializer: bytes });
    });
  }

  #changed(change) {
    this.#on.state(change);
    if (change.state === "open" || change.state === "closed") {
      clearTimeout(this.#quiet);
      this.#quiet = undefined;
    }
    if (change.state === "open") {
      if (!this.#wanted) this.#lobby();
      else if (this.joined && change.resumed && !change.gap) this.#on.resumed();
      else this.#settle();
    } else if (change.state === "closed") {
      if (this.#wanted) this.#end(change.reason ? `The server has ended the connection: ${change.reason}` : explain(change.error));
    } else if (this.joined) {
      // The place is kept, and mostly the session goes on: for a moment, that is no matter.
      this.#quiet ??= setTimeout(() => this.#wanted && this.#on.lost("The connection is lost. Trying again…"), GENTLE);
    } else if (change.state === "waiting") {
      this.#lost("The server cannot be reached. Trying again…");
    }
  }

  async #lobby() {
    try {
      const reply = await this.#client.request("gate.lobby", {});
      this.gate = reply.gate;
      if (!this.#wanted) this.#on.lobby(reply);
    } catch (err) {
      if (!(err instanceof NanoError)) throw err; // the gate is away: the next connection asks again
    }
  }

  // settle finds the way to the room, again and again, until one is in it, or may not be, or the
  // connection is lost. A dead backend needs no more than that: the gate chooses among the living.
  #settle() {
    this.joined = false;
    this.#settling ??= this.#attempts().finally(() => (this.#settling = undefined));
  }

  async #attempts() {
    for (let tries = 1; this.#wanted && !this.joined && this.state === "open"; tries++) {
      const wanted = this.#wanted;
      try {
        const reply = await this.#client.request("arena.join", wanted, { timeout: PATIENCE });
        if (wanted !== this.#wanted) continue; // meanwhile one wants to be elsewhere
        wanted.token = reply.token;
        [this.gate, this.backend, this.you, this.joined] = [reply.gate, reply.backend, reply.you, true];
        this.#on.joined(reply);
      } catch (err) {
        if (!(err instanceof NanoError)) throw err;
        if (err.code === "invalid_argument" || err.code === "full") return this.#end(sentence(err.message));
        if (tries > 1 && this.state === "open") this.#on.lost("The room cannot be reached right now. Trying again…");
        await pause(Math.min(2000, tries * 250) * (0.5 + Math.random())); // not all who wait for one room at once
      }
    }
  }

  #lost(why) {
    if (!this.#wanted) return;
    this.joined = false;
    this.#on.lost(why);
    if (this.state === "open") this.#settle();
  }

  #end(why) {
    this.#wanted = undefined;
    this.joined = false;
    this.#on.left(why);
    if (why && this.state === "open") this.#lobby();
  }

  #took(data) {
    if (!this.joined) return; // of a room that one has left, or is not told yet that one is in
    const now = performance.now();
    this.#heard.bytes += data.length;
    if (now - this.#heard.since > 1000) {
      this.rate = (this.#heard.bytes * 1000) / (now - this.#heard.since);
      this.#heard = { since: now, bytes: 0 };
    }
    this.size = data.length;
    let seen;
    try {
      seen = snapshot(data);
    } catch (err) {
      if (!(err instanceof RangeError)) throw err;
      return this.#end(`${sentence(err.message)} Load the page again.`);
    }
    this.#on.snapshot(seen);
  }

  // watch pings the room. The answer says how far away it is; none, or an error, that it is gone.
  async #watch() {
    for (;;) {
      await pause(PING_EVERY);
      if (!this.live) continue;
      const begin = performance.now();
      try {
        await new Promise((resolve) => this.#later("out", resolve));
        ({ gate: this.gate } = await this.#client.request("room.ping", {}, { timeout: PATIENCE }));
        await new Promise((resolve) => this.#later("back", resolve));
        const took = performance.now() - begin;
        this.ping += (took - this.ping) * (this.ping ? 0.3 : 1);
      } catch (err) {
        if (!(err instanceof NanoError)) throw err;
        if (this.live && err.code !== "resource_exhausted") this.#lost(`The room on ${this.backend} does not answer. Looking for it…`);
      }
    }
  }

  // later is the lag that people add to feel what a slow network is like: everything takes its
  // time, in order.
  #later(way, what) {
    const due = Math.max(this.#line[way], performance.now() + this.lag / 2);
    this.#line[way] = due;
    const wait = due - performance.now();
    if (wait < 1) what();
    else setTimeout(what, wait);
  }
}
