import { Dictionary, type Message, Wire, fit, toUTF8 } from "./codec.js";
import { NanoError, asNanoError } from "./errors.js";
import type { Session } from "./resume.js";
import { type Handshake, type Link, type VersionedDictionary, type WebSocketConstructor, openLink } from "./link.js";
import { platformWebSocket } from "#platform";

declare const __VERSION__: string;
const LIMIT = 65536; // of servers that say nothing

/**
 * - `connecting`: a connection is being made
 * - `open`: the handshake is over
 * - `waiting`: the connection was lost, or not made; there will be another attempt
 * - `closed`: nothing happens until it is opened
 */
export type State = "connecting" | "open" | "waiting" | "closed";

/** When to try again. All times are in milliseconds. */
export interface ReconnectOptions {
  /**
   * The longest first wait. It doubles with each attempt; what is waited is chance between half of
   * it and all. Default: 400.
   */
  min?: number;
  /** The longest wait. Default: 15000. */
  max?: number;
  /** Attempts before it gives up. Default: no limit. */
  attempts?: number;
  /** A connection that lasted so long starts the waits and attempts anew. Default: 5000. */
  steadyAfter?: number;
  /**
   * Whether to come back after a kick. Default: after `server shutdown` and `slow consumer`, which
   * are the server's own reasons; any other is the application's, and stands.
   */
  afterKick?: (reason: string) => boolean;
}

/** How to connect, and to come back. All times are in milliseconds. */
export interface LineOptions {
  /**
   * The user part of the handshake: who this is. A function is called for each attempt, and may
   * return a promise, so that a token can be fresh. Default: `{}`.
   */
  user?: unknown | (() => unknown);
  /** How long connecting and the handshake may take together. Default: 10000. */
  handshakeTimeout?: number;
  /** Whether and how to come back when the connection is lost, or cannot be made. Default: true. */
  reconnect?: boolean | ReconnectOptions;
  /**
   * Requests and notifies that may wait for the connection to be open; more are refused. Default:
   * 100.
   */
  queue?: number;
  /**
   * What to ask the server for. Default: `["error", "gzip", "batch", "resume"]`. Never `gzip` where
   * it cannot be unpacked.
   */
  accept?: string[] | undefined;
  /**
   * Bytes that the body of a packet may have that is sent; a server that gets more ends the
   * connection. Default: what the server says in the handshake; 65536 if it says nothing, and for
   * the handshake itself.
   */
  maxPacket?: number;
  /**
   * A dictionary kept from an earlier connection (`connection.dictionary`); for servers that give
   * it a version.
   */
  dictionary?: VersionedDictionary | undefined;
  /** A WebSocket class, where there is none or another is wanted. */
  WebSocket?: WebSocketConstructor;
}

/** Who has a line. */
export interface LineOwner {
  /**
   * The handshake is over. What is posted now goes before what waited. again: there was a
   * connection before.
   */
  _open(answer: Handshake, again: boolean, resumed: boolean, lost: string | undefined): void;
  _message(message: Message, raw: Uint8Array): void;
  _ioError: (event: unknown) => void;
  /**
   * A message cannot be read, or one that waited cannot be sent or never was, and no request has
   * ended with it.
   */
  _error: (err: NanoError) => unknown;
  _changed(state: State, err: NanoError | undefined, retryAt: number): void;
}

/** Makes a message once it is known whether the server has a dictionary. */
export type Make = (dictionary: Dictionary) => Uint8Array;

/** Takes the end of a request: an error, or the answer. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Settle = (err: NanoError | undefined, answer?: any) => void;

/**
 * Keeps a connection: makes one, and the next when it is lost; keeps what is to be sent meanwhile.
 */
export interface Line {
  _state: State;
  _link: Link | undefined;
  _kept: VersionedDictionary | undefined;
  /** Opens the line, or ends a wait. Harmless if it is open. */
  _open(): void;
  /** Ends what waits for an answer with err itself, so that the caller can tell it from others. */
  _close(err: NanoError): void;
  /** Goes on with the session on another connection, because the server is drained. */
  _move(): void;
  /**
   * Sends a message, or keeps it until it can be sent. With settle it is a request, and make gets
   * its id; without, a notify, with the id 0. Throws if it cannot be made, or not even be kept.
   */
  _post(make: (id: number) => Make, settle?: Settle): number;
  /** Ends a request, which is forgotten. False if there is none with the id. */
  _settle(id: unknown, err: NanoError | undefined, answer?: unknown): boolean;
  /**
   * Ends a request whose time is over: with err while the connection is open, else with what keeps
   * the connection away.
   */
  _expire(id: number, err: NanoError): void;
}

/**
 * Each address but the first is for when there is no connection to the one before it. With raw,
 * messages are not taken apart. With session, one goes on with the next connection where
 * the server can.
 */
export function createLine(addresses: string[], options: LineOptions, owner: LineOwner, raw?: boolean, session?: Session): Line {
  const { user, reconnect = true, queue: room = 100, accept = ["error", "gzip", "batch"] } = options;
  const { min = 400, max = 15000, attempts = Infinity, steadyAfter = 5000, afterKick = ownReason } = (reconnect || {}) as ReconnectOptions; // true has none of them
  const queue = new Map<unknown, Make>(); // what waits; notifies have negative numbers
  const pending = new Map<unknown, Settle>(); // requests without an answer
  let requests = 0;
  let notifies = 0;
  let dictionary: Dictionary;
  let limit = options.maxPacket; // of a body; what waits for the first handshake is measured after it
  let wanted = false;
  let again = false; // there was a connection before
  let away: NanoError | undefined; // what keeps the connection away
  let tried = 0;
  let at = 0; // which address comes next
  let moving: Link | undefined; // is about to be left
  let timer: ReturnType<typeof setTimeout> | undefined;

  const send = (make: Make) => {
    const body = fit(make(dictionary), limit);
    session?._sent(make, body.length);
    line._link!._send(Wire.DATA, body);
  };

  const online = () => line._open();

  const change = (state: State, err?: NanoError, retryAt = 0) => {
    line._state = state;
    (globalThis as Partial<typeof globalThis>)[state === "waiting" ? "addEventListener" : "removeEventListener"]?.("online", online);
    const closed = state === "closed";
    if (closed) {
      const unsent = [...queue.keys()].filter((id) => !pending.has(id)); // notifies: nobody else is told of their end
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
      version: __VERSION__,
      accept: accept.filter((word) => word !== "gzip" || (globalThis as { DecompressionStream?: unknown }).DecompressionStream),
      dictVersion: line._kept?.version,
      resume: session?._token ? { token: session._token, received: session._received, gap: true } : undefined,
    };
    const body = { sys, user: (await (typeof user === "function" ? user() : user)) ?? {} };
    return fit(toUTF8(JSON.stringify(body)), limit ?? LIMIT);
  };

  const dial = () => {
    clearTimeout(timer);
    wanted = true;
    try {
      const url = new URL(addresses[at % addresses.length]!, (globalThis as { location?: Location }).location?.href);
      url.protocol = url.protocol.replace("http", "ws");
      const socket = new (options.WebSocket ?? platformWebSocket())(url.href);
      line._link = openLink(socket, hello, { _timeout: options.handshakeTimeout ?? 10_000, _raw: raw, _kept: line._kept }, { ...owner, _open: opened, _error: failed, _down: lost }, session);
    } catch (err) {
      return change("closed", asNanoError(err, "invalid_argument"));
    }
    change("connecting");
  };

  // Whoever waits for what could not be read, or sent, is told.
  const failed = (err: NanoError, id?: unknown) => line._settle(id, err) || owner._error(err);

  const opened = (answer: Handshake, dict: Dictionary, kept: VersionedDictionary | undefined) => {
    const link = line._link!;
    dictionary = dict;
    line._kept = kept;
    away = undefined;
    limit = options.maxPacket ?? (answer.sys.maxPacket || LIMIT);
    timer = setTimeout(() => (tried = 0), steadyAfter);
    const then = session?._opened(answer.sys);
    const resumed = Array.isArray(then);
    for (const make of resumed ? then : []) link._send(Wire.DATA, fit(make(dictionary), limit));
    const gone = resumed ? answer.sys.resume!.received === undefined && "the server has died" : then && `session lost: ${then}`;
    if (gone) {
      for (const id of [...pending.keys()]) {
        if (!queue.has(id)) line._settle(id, new NanoError("unavailable", gone));
      }
    }
    line._state = "open";
    owner._open(answer, again, resumed, resumed ? undefined : then);
    again = true;
    for (const [id, make] of queue) {
      if (line._link !== link) return; // the owner has closed it, or sending did
      queue.delete(id);
      try {
        send(make);
      } catch (err) {
        failed(asNanoError(err, "invalid_argument"), id);
      }
    }
  };

  const lost = (err: NanoError) => {
    const moved = moving === line._link;
    if (moved || line._state === "connecting") at++;
    line._link = undefined;
    clearTimeout(timer);
    if (err.code !== "unavailable") session?._forget(); // it was ended, or makes no sense
    if (!wanted || !reconnect || err.code === "refused" || tried >= attempts || (err.code === "kicked" && !afterKick(err.message))) {
      return change("closed", err);
    }
    // By chance, so that those whom a restart threw out do not all come back at once.
    const wait = moved ? 0 : Math.min(max, min * 2 ** tried++) * (0.5 + Math.random() / 2);
    timer = setTimeout(dial, wait);
    change("waiting", err, Date.now() + wait);
  };

  const line: Line = {
    _state: "closed",
    _link: undefined,
    _kept: options.dictionary,
    _open() {
      if (line._state === "closed") {
        tried = 0;
        away = undefined;
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
      // By chance: others are told at the same time. The connection serves until then.
      setTimeout(() => line._link === link && link!._end(new NanoError("unavailable", "the server is drained")), Math.random() * 500);
    },
    _post(make, settle) {
      const id = settle ? ++requests : --notifies;
      const made = make(settle ? id : 0);
      if (line._state === "open") {
        send(made);
      } else {
        if (line._state === "closed" || !room) throw new NanoError("unavailable", "not connected");
        if (queue.size >= room) throw new NanoError("resource_exhausted", "too many messages wait");
        fit(made(new Dictionary()), limit); // what cannot be sent is told now, not when the connection is back
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
      line._settle(id, line._state === "open" ? err : (away ?? new NanoError("unavailable", "no connection in time")));
    },
  };
  return line;
}

const ownReason = (reason: string) => reason === "server shutdown" || reason === "slow consumer";
