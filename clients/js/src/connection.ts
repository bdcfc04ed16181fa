import { type Message, Wire, encodeRaw, parseOr } from "./codec.js";
import { Emitter } from "./emitter.js";
import { NanoError, asNanoError, report } from "./errors.js";
import { type Line, type LineOptions, type Settle, type State, createLine } from "./line.js";
import type { Handshake, VersionedDictionary } from "./link.js";
import { createSession } from "./resume.js";
import { type Serializer, json } from "./serializers.js";

/**
 * What an application's routes take and give, for the compiler:
 *
 * ```ts
 * interface Chat {
 *   requests: { "Room.Join": [JoinRequest, JoinReply] };
 *   notifies: { "Room.Say": Message };
 *   pushes: { onMessage: Message };
 * }
 * const room = connect<Chat>("/nano");
 * ```
 *
 * A part that is left out takes every route and any value.
 */
export interface Routes {
  requests?: object;
  notifies?: object;
  pushes?: object;
}

/* eslint-disable @typescript-eslint/no-explicit-any */
type Requests<R> = R extends { requests: infer T } ? T : Record<string, [any, any]>;
type Notifies<R> = R extends { notifies: infer T } ? T : Record<string, any>;
type Pushes<R> = R extends { pushes: infer T } ? T : Record<string, any>;
/* eslint-enable @typescript-eslint/no-explicit-any */
type Name<T> = Extract<keyof T, string>;
type Pair<T> = T extends [infer Request, infer Response] ? { request: Request; response: Response } : never;
type Args<Value, Options> = undefined extends Value ? [value?: Value, options?: Options] : [value: Value, options?: Options];

const DRAIN = "nano.drain"; // a push: come back on another connection

/** One address, or several that lead to the same servers. */
export type Addresses = string | URL | (string | URL)[];

/** How a connection is made. */
export interface ConnectOptions extends LineOptions {
  /**
   * How long a request waits for its answer in milliseconds, if it does not say; 0 for ever.
   * Default: 10000.
   */
  timeout?: number;
  /** What payloads are. Default: `json`. */
  serializer?: Serializer;
}

export interface RequestOptions {
  /** Milliseconds; 0 waits for ever. */
  timeout?: number;
  signal?: AbortSignal;
  /** Instead of the connection's. */
  serializer?: Serializer;
}

export interface NotifyOptions {
  /** Instead of the connection's. */
  serializer?: Serializer;
}

export interface PushOptions {
  once?: boolean;
  /** Instead of the connection's. */
  serializer?: Serializer;
}

/** The events of a connection. */
export interface Events {
  state: {
    state: State;
    /** Why it is not open any more; empty when all is well. */
    reason: string;
    /**
     * What happened. The code is `kicked` when the server ended the connection on purpose (the
     * message is its reason), `refused` when it does not want this client (`details` is its
     * answer), else `unavailable`, `protocol`, or `invalid_argument` for a URL that cannot be one.
     */
    error?: NanoError;
    /** When the next attempt is due (milliseconds since 1970), in the state `waiting`. */
    retryAt: number;
    /** In the state `open`: it was open before, and the server has a new session for it. */
    again: boolean;
    /** In the state `open`: the session from before goes on. Nothing was lost, unless gap says so. */
    resumed: boolean;
    /**
     * With resumed: a server has died, and messages in both directions may be lost with it. Ask for
     * a fresh state.
     */
    gap: boolean;
  };
  /**
   * The connection was lost, and its session waits: what is sent is kept, and requests resolve
   * later.
   */
  suspended: { reason: string };
  /** The session goes on with a new connection. With gap, messages may be lost, as in state. */
  resumed: { gap: boolean };
  /**
   * It does not: there is a new session. The reason is `expired`, `overflow`, `unknown` or `gap`.
   */
  lost: { reason: string };
  /**
   * Something that no caller waits for failed: a push that cannot be read, say. Reported to the
   * console if nobody listens.
   */
  error: NanoError;
}

/**
 * A connection to a node, and those that follow when it is lost. Made closed: `open` opens it, as
 * `connect` does.
 *
 * What is sent while a connection is away waits for the next, up to a bound. Where the server can,
 * the next one goes on with the session: requests that were under way get their answers, and no
 * message is lost or doubled, unless the server has died and another one has the session (`gap`).
 * Else the server has a new session for each connection, and requests that were under way fail with
 * `unavailable`, as those do that wait when the first connection cannot be made. Sign in by the
 * handshake (`user`), or at each state `open` that is not `resumed`; what is sent in that event goes
 * before what waited.
 */
export class Connection<R extends Routes = Routes> {
  /**
   * The server's last answer to the handshake. Where a session goes on, what the application added
   * to the first one stays.
   */
  handshake: Handshake | undefined;
  private _line: Line;
  private _events = new Emitter();
  private _pushes = new Emitter();
  private _timeout: number;
  private _serializer: Serializer;

  /**
   * A URL is ws:, wss:, http: or https:, or relative to the page's. Of several, the next is tried
   * when there is no connection to one, or that server is drained.
   */
  constructor(url: Addresses, options: ConnectOptions = {}) {
    options = { accept: ["error", "gzip", "batch", "resume"], ...options };
    this._timeout = options.timeout ?? 10_000;
    this._serializer = options.serializer ?? json;
    let away = false; // suspended was told
    const session = createSession();
    const changed = (state: State, error: NanoError | undefined, retryAt: number, again = false, resumed = false, gap = false) => {
      const reason = error ? error.message || error.code : "";
      this._tell("state", { state, reason, retryAt, again, resumed, gap, ...(error && { error }) });
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
          // Where the session goes on, what the application said in its first answer stays.
          const before = resumed ? this.handshake : undefined;
          this.handshake = before ? { ...answer, sys: { ...before.sys, ...answer.sys }, user: before.user } : answer;
          away = false;
          if (lost) this._tell("lost", { reason: lost });
          const gap = resumed && !!answer.sys.resume!.gap;
          changed("open", undefined, 0, again && !resumed, resumed, gap);
          if (resumed) this._tell("resumed", { gap });
        },
        _message: (message) => {
          if (message.type === Wire.RESPONSE) this._line._settle(message.id, undefined, message);
          else if (session._token && message.route === DRAIN) this._line._move();
          else if (message.type === Wire.PUSH) this._pushes._emit(message.route, message.data);
        },
        _ioError: () => {}, // its end follows, and says as much
        _error: (err) => this._tell("error", err),
        _changed: changed,
      },
      false,
      session,
    );
  }

  get state(): State {
    return this._line._state;
  }

  /** Bytes that were sent and that the network has not taken yet. */
  get bufferedAmount(): number {
    return this._line._link?._socket.bufferedAmount ?? 0;
  }

  /**
   * The server's dictionary, if it has one with a version: to be kept, and given to the next
   * connection.
   */
  get dictionary(): VersionedDictionary | undefined {
    return this._line._kept;
  }

  /**
   * Opens the connection and keeps it until `close`; ends a wait for the next attempt. Harmless if
   * it is open.
   */
  open(): void {
    this._line._open();
  }

  /** Ends the connection, until `open`. Requests that wait for an answer fail. */
  close(reason = "closed"): void {
    this._line._close(new NanoError("unavailable", reason));
  }

  /** Resolves once the connection is open, and rejects if it is closed, or gets closed before. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = ({ state, error }: { state: State; error?: NanoError }) => {
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
  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    return this._events._add(event, listener);
  }

  /** Calls the handler with the payload of each push to the route. The result takes it back. */
  onPush<K extends Name<Pushes<R>>>(route: K, handler: (value: Pushes<R>[K], route: K) => void, options: PushOptions = {}): () => void {
    const serializer = options.serializer ?? this._serializer;
    const receive = (data: Uint8Array) => {
      let value;
      try {
        value = serializer.decode(data, route, "push") as Pushes<R>[K];
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
  request<K extends Name<Requests<R>>>(
    route: K,
    ...[value, options = {}]: Args<Pair<Requests<R>[K]>["request"], RequestOptions>
  ): Promise<Pair<Requests<R>[K]>["response"]> {
    const { timeout = this._timeout, signal, serializer = this._serializer } = options;
    return new Promise((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const abort = () => this._line._settle(id, new NanoError("canceled", "canceled", signal!.reason));
      const settle = (err: NanoError | undefined, message?: Message) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        try {
          if (err) throw err;
          if (message!.error) throw serverError(message!.data);
          resolve(serializer.decode(message!.data, route, "response"));
        } catch (cause) {
          reject(asNanoError(cause));
        }
      };
      if (signal?.aborted) throw new NanoError("canceled", "canceled", signal.reason);
      const id = this._post(Wire.REQUEST, route, value, serializer, settle);
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
  notify<K extends Name<Notifies<R>>>(route: K, ...[value, options = {}]: Args<Notifies<R>[K], NotifyOptions>): void {
    this._post(Wire.NOTIFY, route, value, options.serializer);
  }

  private _post(type: 0 | 1, route: string, value: unknown, serializer = this._serializer, settle?: Settle): number {
    try {
      const data = serializer.encode(value, route, type ? "notify" : "request");
      return this._line._post((id) => (dictionary) => encodeRaw(type, id, dictionary.codes.get(route) ?? route, data), settle);
    } catch (err) {
      throw asNanoError(err, "invalid_argument");
    }
  }

  private _tell<E extends keyof Events>(event: E, detail: Events[E]): void {
    if (!this._events._emit(event, detail) && event === "error") report(detail);
  }
}

/**
 * What a server says of a request that failed: `{"code", "error"}`, unless the application gave it
 * another shape.
 */
export function serverError(data: Uint8Array): NanoError {
  const said = parseOr(data, data); // who knows another shape finds it in the details
  const { code = "internal", error = "failed" } = (said ?? {}) as { code?: unknown; error?: unknown };
  return new NanoError(String(code), String(error), said);
}

/** Makes a connection and opens it. */
export function connect<R extends Routes = Routes>(url: Addresses, options?: ConnectOptions): Connection<R> {
  const connection = new Connection<R>(url, options);
  connection.open();
  return connection;
}
