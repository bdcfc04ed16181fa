// Built from clients/js, by `npm run pages` there. Edit it there.
// src/errors.ts
var NanoError = class extends Error {
  constructor(code, message, details) {
    super(message);
    this.name = "NanoError";
    this.code = code;
    this.details = details;
  }
};
function asNanoError(err, code = "protocol") {
  if (err instanceof NanoError) return err;
  return new NanoError(code, err instanceof Error ? err.message : String(err), err);
}
function guard(call) {
  try {
    call();
  } catch (err) {
    report(err);
  }
}
function report(err) {
  (globalThis.reportError ?? console.error)(err);
}

// src/codec.ts
var Packet = { Handshake: 1, HandshakeAck: 2, Heartbeat: 3, Data: 4, Kick: 5 };
var Type = { Request: 0, Notify: 1, Response: 2, Push: 3 };
var EMPTY = new Uint8Array(0);
var encoder = new TextEncoder();
var decoder = new TextDecoder("utf-8", { ignoreBOM: true });
var toUTF8 = (text) => encoder.encode(text);
var fromUTF8 = (bytes2) => decoder.decode(bytes2);
var parseOr = (bytes2, other) => {
  try {
    return JSON.parse(fromUTF8(bytes2));
  } catch {
    return other;
  }
};
function toBytes(data) {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return new Uint8Array(data);
}
function concat(a, b) {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
var broken = (message) => new NanoError("protocol", message);
var fit = (bytes2, limit = 16777215, what = "packet") => {
  if (bytes2.length > limit) throw new NanoError("invalid_argument", `${what} too long: ${bytes2.length} bytes of at most ${limit}`);
  return bytes2;
};
function encodePacket(type, body = EMPTY) {
  const n = fit(body).length;
  return concat([type, n >> 16, n >> 8, n], body);
}
var PacketDecoder = class {
  constructor() {
    this._rest = EMPTY;
  }
  // of a packet that is not complete
  /**
   * Takes bytes and gives `each` the packets that are complete. A body may share memory with the
   * bytes. Throws at a type that does not exist, after the packets before it; nothing can be read
   * from then on.
   */
  push(bytes2, each) {
    let data = this._rest.length ? concat(this._rest, bytes2) : bytes2;
    try {
      while (data.length > 3) {
        const [type, high, middle, low] = data;
        if (type < 1 /* HANDSHAKE */ || type > 5 /* KICK */) throw broken(`unknown type ${type} of a packet`);
        const end = 4 + (high << 16 | middle << 8 | low);
        if (end > data.length) break;
        const body = data.subarray(4, end);
        data = data.subarray(end);
        each(type, body);
      }
    } finally {
      this._rest = data.slice();
    }
  }
};
var Dictionary = class {
  constructor(codes = {}) {
    this.codes = new Map(Object.entries(codes));
    this.routes = new Map([...this.codes].map(([route, code]) => [code, route]));
  }
};
var hasId = (type) => type === 0 /* REQUEST */ || type === 2 /* RESPONSE */;
var varint = (n) => {
  const bytes2 = [];
  let rest = BigInt(n);
  for (; rest > 127n; rest >>= 7n) bytes2.push(Number(rest & 127n) | 128);
  return [...bytes2, Number(rest)];
};
function encodeRaw(type, id, route, data, flags) {
  const head = [flags | type << 1];
  if (hasId(type)) head.push(...varint(id));
  if (type !== 2 /* RESPONSE */) {
    if (typeof route === "number") {
      head[0] |= 1 /* COMPRESSED */;
      head.push(route >> 8, route & 255);
    } else {
      const name = fit(toUTF8(route), 255, "route");
      head.push(name.length, ...name);
    }
  }
  return concat(head, data);
}
var readVarint = (bytes2) => bytes2.reduceRight((n, b) => n * 128 + (b & 127), 0);
function decodeRaw(body) {
  let at = 0;
  const next = () => {
    if (at >= body.length) throw broken("message too short");
    return body[at++];
  };
  const flag = next();
  const type = flag >> 1 & 7;
  if (type > 3 /* PUSH */) throw broken(`unknown type ${type} of a message`);
  let id = 0;
  if (hasId(type)) {
    let big = 0n;
    for (let shift = 0n, b = 128; b > 127; shift += 7n) {
      if (shift > 63n) throw broken("message id too long");
      b = next();
      big |= BigInt(b & 127) << shift;
    }
    id = Number(big);
    if (!Number.isSafeInteger(id)) id = BigInt.asUintN(64, big);
  }
  let route = "";
  if (type !== 2 /* RESPONSE */) {
    if (flag & 1 /* COMPRESSED */) {
      route = next() << 8 | next();
    } else {
      const end = next() + at;
      if (end > body.length) throw broken("message too short");
      route = fromUTF8(body.subarray(at, end));
      at = end;
    }
  }
  return {
    type,
    id,
    route,
    data: body.subarray(at),
    error: !!(flag & 32 /* ERROR */),
    gzip: !!(flag & 16 /* GZIP */)
  };
}
function encodeMessage({ type, id = 0, route = "", data = EMPTY, error, gzip }, dictionary) {
  const flags = (error ? 32 /* ERROR */ : 0) | (gzip ? 16 /* GZIP */ : 0);
  return encodeRaw(type, id, dictionary?.codes.get(route) ?? route, data, flags);
}
function decodeMessage(body, dictionary) {
  const message = decodeRaw(body);
  if (typeof message.route === "number") {
    const route = dictionary?.routes.get(message.route);
    if (route === void 0) throw broken(`unknown route ${message.route}`);
    message.route = route;
  }
  return message;
}

// src/emitter.ts
var Emitter = class {
  constructor() {
    this._entries = /* @__PURE__ */ new Map();
  }
  /** Adds a listener; the result takes it back. */
  _add(name, listener, once = false) {
    let entries = this._entries.get(name);
    if (!entries) this._entries.set(name, entries = /* @__PURE__ */ new Set());
    const entry = { _listener: listener, _once: once };
    entries.add(entry);
    return () => this._drop(name, entry);
  }
  /** Takes back a listener, all of a name, or all. */
  _remove(name, listener) {
    if (name === void 0) this._entries.clear();
    else if (!listener) this._entries.delete(name);
    else
      for (const entry of this._entries.get(name) ?? []) {
        if (entry._listener === listener) return this._drop(name, entry);
      }
  }
  _listeners(name) {
    return [...this._entries.get(name) ?? []].map((entry) => entry._listener);
  }
  /** Calls the listeners of this moment, in order; false if there is none. */
  _emit(name, ...args) {
    const entries = this._entries.get(name);
    if (!entries) return false;
    for (const entry of [...entries]) {
      if (!entries.has(entry)) continue;
      if (entry._once) this._drop(name, entry);
      guard(() => entry._listener(...args));
    }
    return true;
  }
  _drop(name, entry) {
    const entries = this._entries.get(name);
    if (entries?.delete(entry) && !entries.size) this._entries.delete(name);
  }
};

// src/link.ts
var SILENT = "the server is silent";
var gunzip = async (data) => {
  const stream = new Response(data).body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
function openLink(socket, hello, options, owner, session) {
  const packets = new PacketDecoder();
  const inbox = [];
  let dictionary = new Dictionary();
  let ready = false;
  let over = false;
  let working = false;
  let heard = 0;
  let timer;
  const send = (type, body) => {
    const packet = encodePacket(type, body);
    if (!over) socket.send(packet);
  };
  const end = (err, goodbye) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {
    };
    socket.close(goodbye ? 1e3 : void 0);
    owner._down(err);
  };
  const unavailable = (message, details) => end(new NanoError("unavailable", message, details));
  const failed = (err, code) => end(asNanoError(err, code));
  const handle = async (job) => {
    inbox.push(job);
    if (working) return;
    working = true;
    for (let next; !over && (next = inbox.shift()); ) {
      try {
        await next();
      } catch (err) {
        failed(err);
      }
    }
    working = false;
  };
  const watch = (silence) => {
    const look = (wait, again) => {
      const due = Date.now() + wait;
      timer = setTimeout(() => {
        const now = Date.now();
        const left = heard + silence - now;
        if (left > 0) look(Math.min(left, silence));
        else if (now - due > 1e3 && !again) look(2e3, true);
        else unavailable(SILENT);
      }, wait);
    };
    look(silence);
  };
  const shakeHands = (body) => {
    const answer = JSON.parse(fromUTF8(body));
    const { dict, dictVersion, heartbeat } = answer.sys ?? (answer.sys = {});
    if (answer.code !== 200) {
      const code = answer.code === 503 ? "unavailable" : "refused";
      return end(new NanoError(code, answer.reason || `refused with code ${answer.code}`, answer));
    }
    const routes = dict ?? (dictVersion === options._kept?.version ? options._kept?.routes : void 0);
    dictionary = new Dictionary(routes);
    send(2 /* HANDSHAKE_ACK */);
    clearTimeout(timer);
    if (heartbeat > 0) watch(Math.min(heartbeat * 2500, 2 ** 31 - 1));
    ready = true;
    owner._open(answer, dictionary, routes && dictVersion !== void 0 ? { version: dictVersion, routes } : void 0);
  };
  const open = async (body) => {
    let message;
    try {
      message = options._raw ? void 0 : decodeMessage(body, dictionary);
      if (message?.gzip) message.data = await gunzip(message.data);
      if (!over) owner._message(message, body);
    } catch (err) {
      if (!over) owner._error(asNanoError(err), message?.id);
    }
    if (!over && session?._handled(body.length)) send(3 /* HEARTBEAT */, session._beat());
  };
  const kicked = (body) => {
    const said = parseOr(body, {});
    end(new NanoError("kicked", said?.reason ?? "", said));
  };
  const receive = (type, body) => {
    if (type === 3 /* HEARTBEAT */) send(3 /* HEARTBEAT */, session?._beat(body));
    else if (type === 1 /* HANDSHAKE */ && !ready) shakeHands(body);
    else if (type === 4 /* DATA */ && ready) return open(body);
    else if (type === 5 /* KICK */) kicked(body);
  };
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    hello().then((body) => send(1 /* HANDSHAKE */, body)).catch((err) => failed(err, "unavailable"));
  };
  socket.onmessage = ({ data }) => {
    heard = Date.now();
    try {
      packets.push(typeof data === "string" ? toUTF8(data) : toBytes(data), (type, body) => {
        void handle(() => receive(type, body));
      });
    } catch (err) {
      void handle(() => failed(err));
    }
  };
  socket.onerror = owner._ioError;
  socket.onclose = (event) => {
    void handle(() => unavailable(event.reason || (ready ? "connection lost" : "cannot connect"), event));
  };
  timer = setTimeout(() => unavailable("no answer from the server"), options._timeout);
  return { _socket: socket, _send: send, _end: end };
}

// src/platform.ts
var platformWebSocket = () => globalThis.WebSocket;

// src/line.ts
var LIMIT = 65536;
function createLine(addresses, options, owner, raw, session) {
  const { user, reconnect = true, queue: room = 100, accept = ["error", "gzip", "batch"] } = options;
  const { min = 400, max = 15e3, attempts = Infinity, steadyAfter = 5e3, afterKick = ownReason } = reconnect || {};
  const queue = /* @__PURE__ */ new Map();
  const pending = /* @__PURE__ */ new Map();
  let requests = 0;
  let notifies = 0;
  let dictionary;
  let limit = options.maxPacket;
  let wanted = false;
  let again = false;
  let away;
  let tried = 0;
  let at = 0;
  let moving;
  let timer;
  const send = (make) => {
    const body = fit(make(dictionary), limit);
    session?._sent(make, body.length);
    line._link._send(4 /* DATA */, body);
  };
  const online = () => line._open();
  const change = (state, err, retryAt = 0) => {
    line._state = state;
    globalThis[state === "waiting" ? "addEventListener" : "removeEventListener"]?.("online", online);
    const closed = state === "closed";
    if (closed) {
      const unsent = [...queue.keys()].filter((id) => !pending.has(id));
      queue.clear();
      session?._forget();
      if (err) unsent.forEach(() => owner._error(new NanoError("unavailable", `a notify was not sent: ${err.message}`, err.details)));
    }
    if (err) {
      away = closed ? err : new NanoError("unavailable", err.message, err.details);
      for (const id of session?._token ? [] : [...pending.keys()]) {
        if (!again || !queue.has(id)) line._settle(id, away);
      }
    }
    owner._changed(state, err, retryAt);
  };
  const hello = async () => {
    const sys = {
      type: "js-websocket",
      version: "0.6.0",
      accept: accept.filter((word) => word !== "gzip" || globalThis.DecompressionStream),
      dictVersion: line._kept?.version,
      resume: session?._token ? { token: session._token, received: session._received, gap: true } : void 0
    };
    const body = { sys, user: await (typeof user === "function" ? user() : user) ?? {} };
    return fit(toUTF8(JSON.stringify(body)), limit ?? LIMIT);
  };
  const dial = () => {
    clearTimeout(timer);
    wanted = true;
    try {
      const url = new URL(addresses[at % addresses.length], globalThis.location?.href);
      url.protocol = url.protocol.replace("http", "ws");
      const socket = new (options.WebSocket ?? platformWebSocket())(url.href);
      line._link = openLink(socket, hello, { _timeout: options.handshakeTimeout ?? 1e4, _raw: raw, _kept: line._kept }, { ...owner, _open: opened, _error: failed, _down: lost }, session);
    } catch (err) {
      return change("closed", asNanoError(err, "invalid_argument"));
    }
    change("connecting");
  };
  const failed = (err, id) => line._settle(id, err) || owner._error(err);
  const opened = (answer, dict, kept) => {
    const link = line._link;
    dictionary = dict;
    line._kept = kept;
    away = void 0;
    limit = options.maxPacket ?? (answer.sys.maxPacket || LIMIT);
    timer = setTimeout(() => tried = 0, steadyAfter);
    const then = session?._opened(answer.sys);
    const resumed = Array.isArray(then);
    for (const make of resumed ? then : []) link._send(4 /* DATA */, fit(make(dictionary), limit));
    const gone = resumed ? answer.sys.resume.received === void 0 && "the server has died" : then && `session lost: ${then}`;
    if (gone) {
      for (const id of [...pending.keys()]) {
        if (!queue.has(id)) line._settle(id, new NanoError("unavailable", gone));
      }
    }
    line._state = "open";
    owner._open(answer, again, resumed, resumed ? void 0 : then);
    again = true;
    for (const [id, make] of queue) {
      if (line._link !== link) return;
      queue.delete(id);
      try {
        send(make);
      } catch (err) {
        failed(asNanoError(err, "invalid_argument"), id);
      }
    }
  };
  const lost = (err) => {
    const moved = moving === line._link;
    if (moved || line._state === "connecting") at++;
    line._link = void 0;
    clearTimeout(timer);
    if (err.code !== "unavailable") session?._forget();
    if (!wanted || !reconnect || err.code === "refused" || tried >= attempts || err.code === "kicked" && !afterKick(err.message)) {
      return change("closed", err);
    }
    const wait = moved ? 0 : Math.min(max, min * 2 ** tried++) * (0.5 + Math.random() / 2);
    timer = setTimeout(dial, wait);
    change("waiting", err, Date.now() + wait);
  };
  const line = {
    _state: "closed",
    _link: void 0,
    _kept: options.dictionary,
    _open() {
      if (line._state === "closed") {
        tried = 0;
        away = void 0;
      }
      if (!line._link) dial();
    },
    _close(err) {
      wanted = false;
      if (line._link) line._link._end(err, true);
      else if (line._state === "waiting") lost(err);
    },
    _move() {
      const link = line._link;
      if (!reconnect || moving === link) return;
      moving = link;
      setTimeout(() => line._link === link && link._end(new NanoError("unavailable", "the server is drained")), Math.random() * 500);
    },
    _post(make, settle) {
      const id = settle ? ++requests : --notifies;
      const made = make(settle ? id : 0);
      if (line._state === "open") {
        send(made);
      } else {
        if (line._state === "closed" || !room) throw new NanoError("unavailable", "not connected");
        if (queue.size >= room) throw new NanoError("resource_exhausted", "too many messages wait");
        fit(made(new Dictionary()), limit);
        queue.set(id, made);
      }
      if (settle) pending.set(id, settle);
      return id;
    },
    _settle(id, err, answer) {
      const settle = pending.get(id);
      pending.delete(id);
      queue.delete(id);
      settle?.(err, answer);
      return !!settle;
    },
    _expire(id, err) {
      line._settle(id, line._state === "open" ? err : away ?? new NanoError("unavailable", "no connection in time"));
    }
  };
  return line;
}
var ownReason = (reason) => reason === "server shutdown" || reason === "slow consumer";

// src/resume.ts
var KEPT = 1 << 20;
var TELL = 1 << 14;
function createSession() {
  let owed = 0;
  let kept = [];
  let size = 0;
  let base = 0;
  const took = (count) => {
    for (; base < count && kept.length; base++) size -= kept.shift()[1];
  };
  const session = {
    _token: void 0,
    _received: 0,
    _sent(make, bytes2) {
      if (session._token === void 0) return;
      kept.push([make, bytes2]);
      if ((size += bytes2) > KEPT) session._forget();
    },
    _handled(bytes2) {
      session._received++;
      return (owed += bytes2 + 32) > TELL && session._token !== void 0;
    },
    _beat(body) {
      owed = 0;
      if (session._token === void 0) return;
      if (body?.length) took(readVarint(body));
      return new Uint8Array(varint(session._received));
    },
    _opened({ accepted, resume }) {
      const before = session._token;
      const token = accepted?.includes("resume") ? resume?.token : void 0;
      if (before !== void 0 && token !== void 0 && resume.resumed) {
        if (resume.received === void 0) session._forget();
        else took(resume.received);
        session._token = token;
        return kept.map(([make]) => make);
      }
      session._forget();
      session._token = token;
      return before && (resume?.reason ?? "unknown");
    },
    _forget() {
      session._token = void 0;
      session._received = owed = size = base = 0;
      kept = [];
    }
  };
  return session;
}

// src/serializers.ts
var isBinary = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);
var toJSON = (value) => isBinary(value) ? toBytes(value) : toUTF8(JSON.stringify(value ?? {}));
var fromJSON = (data) => data.length ? JSON.parse(fromUTF8(data)) : void 0;
var json = { encode: toJSON, decode: fromJSON };
var bytes = {
  encode: (value = EMPTY) => {
    if (isBinary(value)) return toBytes(value);
    throw new TypeError("not binary");
  },
  decode: (data) => data
};

// src/connection.ts
var DRAIN = "nano.drain";
var Connection = class {
  /**
   * A URL is ws:, wss:, http: or https:, or relative to the page's. Of several, the next is tried
   * when there is no connection to one, or that server is drained.
   */
  constructor(url, options = {}) {
    this._events = new Emitter();
    this._pushes = new Emitter();
    options = { accept: ["error", "gzip", "batch", "resume"], ...options };
    this._timeout = options.timeout ?? 1e4;
    this._serializer = options.serializer ?? json;
    let away = false;
    const session = createSession();
    const changed = (state, error, retryAt, again = false, resumed = false, gap = false) => {
      const reason = error ? error.message || error.code : "";
      this._tell("state", { state, reason, retryAt, again, resumed, gap, ...error && { error } });
      if (session._token && state === "waiting" && !away) {
        away = true;
        this._tell("suspended", { reason });
      }
    };
    this._line = createLine(
      [url].flat().map(String),
      options,
      {
        _open: (answer, again, resumed, lost) => {
          const before = resumed ? this.handshake : void 0;
          this.handshake = before ? { ...answer, sys: { ...before.sys, ...answer.sys }, user: before.user } : answer;
          away = false;
          if (lost) this._tell("lost", { reason: lost });
          const gap = resumed && !!answer.sys.resume.gap;
          changed("open", void 0, 0, again && !resumed, resumed, gap);
          if (resumed) this._tell("resumed", { gap });
        },
        _message: (message) => {
          if (message.type === 2 /* RESPONSE */) this._line._settle(message.id, void 0, message);
          else if (session._token && message.route === DRAIN) this._line._move();
          else if (message.type === 3 /* PUSH */) this._pushes._emit(message.route, message.data);
        },
        _ioError: () => {
        },
        // its end follows, and says as much
        _error: (err) => this._tell("error", err),
        _changed: changed
      },
      false,
      session
    );
  }
  get state() {
    return this._line._state;
  }
  /** Bytes that were sent and that the network has not taken yet. */
  get bufferedAmount() {
    return this._line._link?._socket.bufferedAmount ?? 0;
  }
  /**
   * The server's dictionary, if it has one with a version: to be kept, and given to the next
   * connection.
   */
  get dictionary() {
    return this._line._kept;
  }
  /**
   * Opens the connection and keeps it until `close`; ends a wait for the next attempt. Harmless if
   * it is open.
   */
  open() {
    this._line._open();
  }
  /** Ends the connection, until `open`. Requests that wait for an answer fail. */
  close(reason = "closed") {
    this._line._close(new NanoError("unavailable", reason));
  }
  /** Resolves once the connection is open, and rejects if it is closed, or gets closed before. */
  ready() {
    return new Promise((resolve, reject) => {
      const look = ({ state, error }) => {
        if (state === "open") resolve();
        else if (state === "closed") reject(error ?? new NanoError("unavailable", "not connected"));
        else return;
        off();
      };
      const off = this.on("state", look);
      look(this);
    });
  }
  /** Calls the listener at each such event. The result takes it back. */
  on(event, listener) {
    return this._events._add(event, listener);
  }
  /** Calls the handler with the payload of each push to the route. The result takes it back. */
  onPush(route, handler, options = {}) {
    const serializer = options.serializer ?? this._serializer;
    const receive = (data) => {
      let value;
      try {
        value = serializer.decode(data, route, "push");
      } catch (err) {
        return this._tell("error", asNanoError(err));
      }
      handler(value, route);
    };
    return this._pushes._add(route, receive, options.once);
  }
  /**
   * Sends and resolves to the answer. Rejects with a NanoError: the server's, or that of what
   * happened on the way; after the timeout; and when the signal says so (the server is not told).
   * While a connection that was open is away, the request waits for the next; if that comes too
   * late, the error is `unavailable` and says what keeps it away. So it is for a request that was
   * sent before, where the session waits too.
   */
  request(route, ...[value, options = {}]) {
    const { timeout = this._timeout, signal, serializer = this._serializer } = options;
    return new Promise((resolve, reject) => {
      let timer;
      const abort = () => this._line._settle(id, new NanoError("canceled", "canceled", signal.reason));
      const settle = (err, message) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        try {
          if (err) throw err;
          if (message.error) throw serverError(message.data);
          resolve(serializer.decode(message.data, route, "response"));
        } catch (cause) {
          reject(asNanoError(cause));
        }
      };
      if (signal?.aborted) throw new NanoError("canceled", "canceled", signal.reason);
      const id = this._post(0 /* REQUEST */, route, value, serializer, settle);
      if (timeout > 0 && timeout < 2 ** 31) {
        timer = setTimeout(() => this._line._expire(id, new NanoError("deadline_exceeded", `no answer in ${timeout} ms`)), timeout);
      }
      signal?.addEventListener("abort", abort);
    });
  }
  /**
   * Sends without waiting for anything. Throws a NanoError if it cannot be sent and cannot wait
   * either.
   */
  notify(route, ...[value, options = {}]) {
    this._post(1 /* NOTIFY */, route, value, options.serializer);
  }
  _post(type, route, value, serializer = this._serializer, settle) {
    try {
      const data = serializer.encode(value, route, type ? "notify" : "request");
      return this._line._post((id) => (dictionary) => encodeRaw(type, id, dictionary.codes.get(route) ?? route, data), settle);
    } catch (err) {
      throw asNanoError(err, "invalid_argument");
    }
  }
  _tell(event, detail) {
    if (!this._events._emit(event, detail) && event === "error") report(detail);
  }
};
function serverError(data) {
  const said = parseOr(data, data);
  const { code = "internal", error = "failed" } = said ?? {};
  return new NanoError(String(code), String(error), said);
}
function connect(url, options) {
  const connection = new Connection(url, options);
  connection.open();
  return connection;
}

// src/v05.ts
function address({ host, port, path = "", secure = globalThis.location?.protocol === "https:" }) {
  return `ws${secure ? "s" : ""}://${host}${port ? `:${port}` : ""}${path.replace(/^(?!\/|$)/, "/")}`;
}
function createNano() {
  const events = new Emitter();
  const fail = (err, route) => events._emit("error", err, route);
  const byPage = new NanoError("unavailable", "disconnected");
  let line;
  let params;
  const init = (given, callback) => {
    const before = line;
    line = void 0;
    before?._close(byPage);
    params = given;
    const mine = line = createLine(
      [address(given)],
      {
        user: given.user,
        // What a page's own decode reads, it reads whole. All else: what is usual.
        accept: given.decode && ["batch"],
        reconnect: !!given.reconnect && { attempts: given.maxReconnectAttempts ?? 10, afterKick: () => true },
        queue: 1e3
      },
      {
        _open: (answer, again) => {
          if (again) events._emit("reconnect");
          guard(() => given.handshakeCallback?.(answer.user));
          guard(() => callback?.(mine._link?._socket));
        },
        _message: (message, raw) => {
          if (message?.error) return mine._settle(message.id, serverError(message.data));
          const { decode } = given;
          const decoded = decode ? decode(raw) : { id: message.id, route: message.route, body: fromJSON(message.data) };
          if (decoded?.id) mine._settle(decoded.id, void 0, decoded.body);
          else if (decoded?.route) events._emit(decoded.route, decoded.body);
        },
        _ioError: (event) => events._emit("io-error", event),
        _error: fail,
        _changed: (_, err) => {
          if (!err || mine !== line) return;
          const { code, message, details } = err;
          if (message === SILENT) events._emit("heartbeat timeout");
          if (code === "kicked") events._emit("onKick", details);
          else if (code !== "unavailable") fail(err);
          const event = code === "unavailable" && details || { type: "close", code: 1e3, reason: message, wasClean: true };
          void Promise.resolve().then(() => {
            events._emit("close", event);
            events._emit("disconnect", event);
          });
        }
      },
      !!given.decode
    );
    line._open();
  };
  const post = (route, msg, settle) => {
    try {
      if (!line) throw new NanoError("unavailable", "not connected");
      const { encode } = params;
      const data = encode ? void 0 : toJSON(msg);
      line._post((id) => {
        const body = encode && toBytes(encode(id, route, msg));
        return (dictionary) => body ?? encodeRaw(id ? 0 /* REQUEST */ : 1 /* NOTIFY */, id, dictionary.codes.get(route) ?? route, data);
      }, settle);
    } catch (err) {
      fail(err, route);
    }
  };
  const on = (event, listener) => {
    events._add(event, listener);
    return nano2;
  };
  const off = (event, listener) => {
    events._remove(event, listener);
    return nano2;
  };
  const nano2 = {
    init,
    request(route, msg, callback) {
      if (typeof msg === "function" && !callback) [msg, callback] = [{}, msg];
      msg || (msg = {});
      route || (route = msg.route);
      if (!route) return;
      post(route, msg, (err, body) => err ? err === byPage || fail(err, route) : guard(() => callback?.(body)));
    },
    notify: (route, msg) => post(route, msg || {}),
    disconnect: () => line?._close(byPage),
    on,
    once(event, listener) {
      events._add(event, listener, true);
      return nano2;
    },
    off,
    emit(event, ...args) {
      events._emit(event, ...args);
      return nano2;
    },
    listeners: (event) => events._listeners(event),
    hasListeners: (event) => !!events._listeners(event)[0],
    addEventListener: on,
    removeListener: off,
    removeAllListeners: off,
    removeEventListener: off
  };
  return nano2;
}

// src/protocol.ts
var bytesOf = (data) => data ? toBytes(data) : EMPTY;
var Protocol = {
  strencode: toUTF8,
  strdecode: (data) => fromUTF8(toBytes(data)),
  Package: {
    TYPE_HANDSHAKE: Packet.Handshake,
    TYPE_HANDSHAKE_ACK: Packet.HandshakeAck,
    TYPE_HEARTBEAT: Packet.Heartbeat,
    TYPE_DATA: Packet.Data,
    TYPE_KICK: Packet.Kick,
    encode: (type, body) => encodePacket(type, bytesOf(body)),
    /** One packet, or an array if there are several. */
    decode(data) {
      const packets = [];
      new PacketDecoder().push(toBytes(data), (type, body) => packets.push({ type, body: body.length ? body : null }));
      return packets.length === 1 ? packets[0] : packets;
    }
  },
  Message: {
    TYPE_REQUEST: Type.Request,
    TYPE_NOTIFY: Type.Notify,
    TYPE_RESPONSE: Type.Response,
    TYPE_PUSH: Type.Push,
    /** With compressRoute, the route is its number in the dictionary. */
    encode: (id, type, compressRoute, route, msg) => encodeRaw(type, id, compressRoute ? Number(route) : String(route ?? ""), bytesOf(msg)),
    decode(data) {
      const { id, type, route, data: body } = decodeRaw(toBytes(data));
      return { id: Number(id), type, compressRoute: typeof route === "number" ? 1 : 0, route, body };
    }
  }
};

// src/index.ts
var nano = /* @__PURE__ */ createNano();
var starx = nano;
export {
  Connection,
  Dictionary,
  NanoError,
  Packet,
  PacketDecoder,
  Protocol,
  Type,
  bytes,
  connect,
  createNano,
  decodeMessage,
  encodeMessage,
  encodePacket,
  json,
  nano,
  starx
};
