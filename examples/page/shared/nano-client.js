// A small client for nano's protocol: packets and messages, the handshake, heartbeats, requests as promises, and
// a connection that comes back by itself. It knows nothing of the chat. No dependencies.
//
//   const client = new NanoClient("/nano");
//   client.on("state", ({ state }) => ...);        // connecting, open, waiting, closed
//   client.onPush("chat.message", (message) => ...);
//   client.connect();
//   const reply = await client.request("chat.join", { room: "lobby" });

export const Packet = Object.freeze({ HANDSHAKE: 1, HANDSHAKE_ACK: 2, HEARTBEAT: 3, DATA: 4, KICK: 5 });
export const Type = Object.freeze({ REQUEST: 0, NOTIFY: 1, RESPONSE: 2, PUSH: 3 });

const COMPRESSED = 1;
const GZIP = 1 << 4;
const ERROR = 1 << 5;
const EMPTY = new Uint8Array(0);

const utf8 = new TextEncoder();
const text = new TextDecoder();

// NanoError is every failure that a caller sees. Its code is the server's, or one of this client's own:
// "unavailable" (no connection, or it ended before the answer), "deadline_exceeded", "canceled", "protocol".
export class NanoError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "NanoError";
    this.code = code;
  }
}

// encodePacket returns one packet: type, length of the body in three bytes, body.
export function encodePacket(type, body = EMPTY) {
  const n = body.length;
  if (n > 0xffffff) throw new NanoError("protocol", `a packet's body has at most 16777215 bytes, this one ${n}`);
  const packet = new Uint8Array(4 + n);
  packet.set([type, n >> 16, (n >> 8) & 0xff, n & 0xff]);
  packet.set(body, 4);
  return packet;
}

// PacketDecoder finds the packets in what arrives, however it was cut.
export class PacketDecoder {
  #rest = EMPTY;

  // push takes bytes and returns the packets that are complete, as {type, body}.
  push(bytes) {
    let data = bytes;
    if (this.#rest.length > 0) {
      data = new Uint8Array(this.#rest.length + bytes.length);
      data.set(this.#rest);
      data.set(bytes, this.#rest.length);
    }
    const packets = [];
    let at = 0;
    while (data.length - at >= 4) {
      const type = data[at];
      if (type < Packet.HANDSHAKE || type > Packet.KICK) throw new NanoError("protocol", `packet of unknown type ${type}`);
      const end = at + 4 + ((data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3]);
      if (end > data.length) break;
      packets.push({ type, body: data.subarray(at + 4, end) });
      at = end;
    }
    this.#rest = data.slice(at);
    return packets;
  }
}

// encodeMessage returns the body of a data packet. codes maps routes to the dictionary's numbers.
export function encodeMessage({ type, id = 0, route = "", data = EMPTY }, codes = new Map()) {
  const head = [type << 1];
  if (type === Type.REQUEST || type === Type.RESPONSE) {
    let n = id;
    for (; n >= 128; n = Math.floor(n / 128)) head.push((n % 128) | 0x80);
    head.push(n);
  }
  if (type !== Type.RESPONSE) {
    const code = codes.get(route);
    if (code !== undefined) {
      head[0] |= COMPRESSED;
      head.push(code >> 8, code & 0xff);
    } else {
      const name = utf8.encode(route);
      if (name.length > 255) throw new NanoError("protocol", "a route has at most 255 bytes");
      head.push(name.length, ...name);
    }
  }
  const body = new Uint8Array(head.length + data.length);
  body.set(head);
  body.set(data, head.length);
  return body;
}

// decodeMessage is the other way. routes maps the dictionary's numbers to routes.
export function decodeMessage(body, routes = new Map()) {
  let at = 0;
  const next = () => {
    if (at >= body.length) throw new NanoError("protocol", "message ends inside its head");
    return body[at++];
  };
  const flag = next();
  const type = (flag >> 1) & 7;
  if (type > Type.PUSH) throw new NanoError("protocol", `message of unknown type ${type}`);
  if (flag & GZIP) throw new NanoError("protocol", "message is compressed, which was not asked for");
  const message = { type, id: 0, route: "", error: (flag & ERROR) !== 0, data: EMPTY };
  if (type === Type.REQUEST || type === Type.RESPONSE) {
    for (let i = 0, scale = 1; ; i++, scale *= 128) {
      if (i === 10) throw new NanoError("protocol", "message id is longer than 10 bytes");
      const b = next();
      message.id += (b & 0x7f) * scale;
      if (b < 0x80) break;
    }
  }
  if (type !== Type.RESPONSE) {
    if (flag & COMPRESSED) {
      const code = (next() << 8) | next();
      message.route = routes.get(code);
      if (message.route === undefined) throw new NanoError("protocol", `route number ${code} is not in the dictionary`);
    } else {
      const n = next();
      if (at + n > body.length) throw new NanoError("protocol", "message ends inside its route");
      message.route = text.decode(body.subarray(at, at + n));
      at += n;
    }
  }
  message.data = body.subarray(at);
  return message;
}

const toJSON = (value) => utf8.encode(JSON.stringify(value ?? {}));
const fromJSON = (bytes) => (bytes.length === 0 ? null : JSON.parse(text.decode(bytes)));

// NanoClient is one connection to a server, and the ones after it when it is lost.
//
// Events, by on():
//   state   {state, reason, retryAt}: connecting, open, waiting (retryAt is when it tries again), closed
//   kick    {reason}: the server ended the connection on purpose
//   refused {code, reason}: the server did not want this client; it stays closed
// A kick is followed by a new attempt unless stopOnKick(reason) says otherwise.
export class NanoClient {
  #url;
  #options;
  #state = "closed";
  #socket = null;
  #wanted = false;
  #attempts = 0;
  #retry = 0; // timers
  #steady = 0;
  #deadline = 0;
  #watch = 0;
  #heard = 0; // when anything last came, in ms
  #nextId = 1;
  #waiting = new Map(); // requests without an answer: id -> {resolve, reject, done}
  #pushes = new Map(); // route -> Set of handlers
  #events = new Map(); // event -> Set of handlers
  #codes = new Map();
  #routes = new Map();

  constructor(url, options = {}) {
    this.#url = url;
    this.#options = {
      user: {}, // the user part of the handshake
      timeout: 10_000, // of a request, in ms
      handshakeTimeout: 10_000,
      minBackoff: 400, // the first wait after a loss; it doubles up to the largest
      maxBackoff: 15_000,
      steadyAfter: 5_000, // a connection that lasted so long starts the waits from the smallest again
      stopOnKick: () => false,
      ...options,
    };
  }

  get state() {
    return this.#state;
  }

  // connect opens the connection and keeps it until close. Harmless when it is open already.
  connect() {
    this.#wanted = true;
    if (this.#state === "closed" || this.#state === "waiting") this.#open();
  }

  // retryNow ends the wait before the next attempt.
  retryNow() {
    if (this.#state === "waiting") this.#open();
  }

  // close ends the connection for good, until connect is called again.
  close(reason = "closed") {
    this.#wanted = false;
    this.#lose(reason);
  }

  // on calls handler at each event; the result takes it back.
  on(event, handler) {
    return register(this.#events, event, handler);
  }

  // onPush calls handler with the payload of each push to the route; the result takes it back.
  onPush(route, handler) {
    return register(this.#pushes, route, handler);
  }

  // request sends and resolves to the answer. It rejects with a NanoError: the server's, when the connection is
  // not open or ends, or after the timeout.
  request(route, value, { timeout = this.#options.timeout, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new NanoError("canceled", "canceled"));
      if (this.#state !== "open") return reject(new NanoError("unavailable", "not connected"));
      const id = this.#nextId++;
      const fail = (code, message) => {
        done();
        reject(new NanoError(code, message));
      };
      const canceled = () => fail("canceled", "canceled");
      const timer = setTimeout(() => fail("deadline_exceeded", `no answer within ${timeout / 1000} s`), timeout);
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", canceled);
        this.#waiting.delete(id);
      };
      signal?.addEventListener("abort", canceled, { once: true });
      this.#waiting.set(id, { resolve, fail, done });
      this.#sendMessage({ type: Type.REQUEST, id, route, data: toJSON(value) });
    });
  }

  // notify sends without waiting for anything. It tells whether there was a connection to send on.
  notify(route, value) {
    if (this.#state !== "open") return false;
    this.#sendMessage({ type: Type.NOTIFY, route, data: toJSON(value) });
    return true;
  }

  #sendMessage(message) {
    this.#send(Packet.DATA, encodeMessage(message, this.#codes));
  }

  #send(type, body) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(encodePacket(type, body));
  }

  #open() {
    clearTimeout(this.#retry);
    let socket;
    try {
      const url = new URL(this.#url, globalThis.location?.href);
      url.protocol = url.protocol.replace(/^http/, "ws");
      socket = new WebSocket(url);
    } catch (err) {
      this.#wanted = false;
      this.#setState("closed", err.message);
      return;
    }
    const decoder = new PacketDecoder();
    const current = () => this.#socket === socket; // what an old socket still says does not count
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (!current()) return;
      const hello = { sys: { type: "js", version: "1.0.0", accept: ["error"] }, user: this.#options.user };
      this.#send(Packet.HANDSHAKE, toJSON(hello));
    };
    socket.onmessage = ({ data }) => {
      if (!current()) return;
      this.#heard = Date.now();
      try {
        const bytes = typeof data === "string" ? utf8.encode(data) : new Uint8Array(data);
        for (const packet of decoder.push(bytes)) {
          if (current()) this.#receive(packet);
        }
      } catch (err) {
        console.error("nano:", err);
        this.#lose("the server sent what cannot be read");
      }
    };
    socket.onclose = () => {
      if (current()) this.#lose("the connection was lost");
    };
    this.#socket = socket;
    this.#deadline = setTimeout(() => this.#lose("the server does not answer"), this.#options.handshakeTimeout);
    this.#setState("connecting");
  }

  #receive({ type, body }) {
    switch (type) {
      case Packet.HANDSHAKE:
        return this.#state === "connecting" ? this.#shakeHands(fromJSON(body) ?? {}) : undefined;
      case Packet.HEARTBEAT:
        return this.#send(Packet.HEARTBEAT);
      case Packet.KICK:
        return this.#kicked(body);
      case Packet.DATA:
        return this.#deliver(decodeMessage(body, this.#routes));
    }
  }

  #shakeHands({ code, sys = {}, reason, error, message }) {
    clearTimeout(this.#deadline);
    if (code !== 200) {
      this.#wanted = false;
      const why = reason ?? error ?? message ?? `the server refused the connection (${code})`;
      this.#lose(why);
      this.#emit("refused", { code, reason: why });
      return;
    }
    this.#codes = new Map(Object.entries(sys.dict ?? {}));
    this.#routes = new Map([...this.#codes].map(([route, n]) => [n, route]));
    this.#send(Packet.HANDSHAKE_ACK);
    this.#watchOver(sys.heartbeat);
    this.#steady = setTimeout(() => (this.#attempts = 0), this.#options.steadyAfter);
    this.#setState("open");
  }

  // The server beats once an interval. Two intervals of silence, and it is gone; half a one more, for timers that
  // a hidden tab has slowed down.
  #watchOver(seconds) {
    if (!(seconds > 0)) return;
    const silence = seconds * 2500;
    const check = () => {
      const left = this.#heard + silence - Date.now();
      if (left <= 0) this.#lose("the server has gone silent");
      else this.#watch = setTimeout(check, left);
    };
    this.#watch = setTimeout(check, silence);
  }

  #kicked(body) {
    let reason = "";
    try {
      reason = fromJSON(body)?.reason ?? "";
    } catch {
      // a body that is no JSON says nothing
    }
    if (this.#options.stopOnKick(reason)) this.#wanted = false;
    this.#lose(reason || "the server ended the connection");
    this.#emit("kick", { reason });
  }

  #deliver({ type, id, route, error, data }) {
    if (type === Type.PUSH) {
      const value = fromJSON(data);
      for (const handler of this.#pushes.get(route) ?? []) guard(() => handler(value));
    } else if (type === Type.RESPONSE) {
      const request = this.#waiting.get(id);
      if (!request) return; // it came too late
      const value = fromJSON(data);
      if (error) return request.fail(value?.code ?? "internal", value?.error ?? "the server reported an error");
      request.done();
      request.resolve(value);
    }
  }

  // lose ends the present connection, if any, and waits for the next if one is wanted.
  #lose(reason) {
    const socket = this.#socket;
    this.#socket = null;
    for (const timer of [this.#retry, this.#steady, this.#deadline, this.#watch]) clearTimeout(timer);
    socket?.close();
    if (!this.#wanted) {
      this.#setState("closed", reason);
    } else {
      // Anything between half the wait and all of it, so that those whom a restart threw out do not all come at once.
      const { minBackoff, maxBackoff } = this.#options;
      const wait = Math.min(maxBackoff, minBackoff * 2 ** this.#attempts++) * (0.5 + Math.random() / 2);
      this.#retry = setTimeout(() => this.#open(), wait);
      this.#setState("waiting", reason, Date.now() + wait);
    }
    for (const request of [...this.#waiting.values()]) request.fail("unavailable", "the connection was lost before the answer came");
  }

  #setState(state, reason = "", retryAt = 0) {
    if (state === "closed" && this.#state === "closed") return;
    this.#state = state;
    this.#emit("state", { state, reason, retryAt });
  }

  #emit(event, detail) {
    for (const handler of this.#events.get(event) ?? []) guard(() => handler(detail));
  }
}

function register(table, key, handler) {
  if (!table.has(key)) table.set(key, new Set());
  table.get(key).add(handler);
  return () => table.get(key).delete(handler);
}

// guard keeps a handler's error from the connection and from the other handlers.
function guard(call) {
  try {
    call();
  } catch (err) {
    console.error("nano: handler failed:", err);
  }
}
