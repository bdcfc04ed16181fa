// The face that pages written for nano v0.5 use: one object, callbacks, events.
import { Wire, encodeRaw, toBytes } from "./codec.js";
import { serverError } from "./connection.js";
import { Emitter, type Listener } from "./emitter.js";
import { NanoError, guard } from "./errors.js";
import { type Line, type Settle, createLine } from "./line.js";
import { SILENT } from "./link.js";
import { fromJSON, toJSON } from "./serializers.js";

/* eslint-disable @typescript-eslint/no-explicit-any */

/** What a page's own `decode` makes of a message. `id` is 0 or missing for pushes. */
export interface DecodedMessage {
  id?: number;
  route?: string;
  body?: any;
}

/** The parameters of `init`. */
export interface InitParams {
  host: string;
  port?: number | string;
  path?: string;
  /** Use TLS. Default: whether the page came by https. */
  secure?: boolean;
  /** The user part of the handshake. */
  user?: unknown;
  /** Called with the user part of the server's answer, before the callback of `init`. */
  handshakeCallback?: (user: any) => void;
  /** Makes the body of a data packet; reqId is 0 for a notify. */
  encode?: (reqId: number, route: string, msg: any) => Uint8Array | ArrayBuffer | number[];
  /** Reads the body of a data packet. Without a result the message is dropped. */
  decode?: (data: Uint8Array) => DecodedMessage | undefined | null;
  /** Come back when the connection is lost. Default: false. */
  reconnect?: boolean;
  /** Default: 10. */
  maxReconnectAttempts?: number;
}

/**
 * A client as v0.5's pages know it. Events: a push under its route, and `close`, `disconnect`, `io-error`, `error`,
 * `heartbeat timeout`, `reconnect`, `onKick`. `error` comes for each request that gets no answer, with a NanoError and the
 * route: the server has refused it, or there is no connection.
 */
export interface Nano {
  /** Connects; a connection that is open is given up. The callback is called after each handshake, reconnections included. */
  init(params: InitParams, callback?: (socket: unknown) => void): void;
  /** The callback gets the answer. Before the handshake is over, requests and notifies wait. */
  request(route: string, callback: (body: any) => void): void;
  request(route: string, msg: any, callback?: (body: any) => void): void;
  notify(route: string, msg?: any): void;
  disconnect(): void;
  on(event: string, listener: Listener): Nano;
  once(event: string, listener: Listener): Nano;
  /** Takes back one listener, all of an event, or all. */
  off(event?: string, listener?: Listener): Nano;
  emit(event: string, ...args: any[]): Nano;
  listeners(event: string): Listener[];
  hasListeners(event: string): boolean;
  addEventListener(event: string, listener: Listener): Nano;
  removeListener(event?: string, listener?: Listener): Nano;
  removeAllListeners(event?: string): Nano;
  removeEventListener(event?: string, listener?: Listener): Nano;
}

function address({ host, port, path = "", secure = (globalThis as { location?: Location }).location?.protocol === "https:" }: InitParams): string {
  return `ws${secure ? "s" : ""}://${host}${port ? `:${port}` : ""}${path.replace(/^(?!\/|$)/, "/")}`;
}

/** Makes a client. `nano` is one; a page that needs several connections makes more. */
export function createNano(): Nano {
  const events = new Emitter();
  const fail = (err: unknown, route?: string) => events._emit("error", err, route);
  // Ends a connection that the page does not want any more, and its requests without a word. No
  // text could mark it: a server may say the same.
  const byPage = new NanoError("unavailable", "disconnected");
  let line: Line | undefined;
  let params: InitParams;

  const init = (given: InitParams, callback?: (socket: unknown) => void) => {
    const before = line;
    line = undefined;
    before?._close(byPage);
    params = given;
    const mine: Line = (line = createLine(
      [address(given)],
      {
        user: given.user,
        // What a page's own decode reads, it reads whole. All else: what is usual.
        accept: given.decode && ["batch"],
        reconnect: !!given.reconnect && { attempts: given.maxReconnectAttempts ?? 10, afterKick: () => true },
        queue: 1000,
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
          const decoded: DecodedMessage | undefined | null = decode
            ? decode(raw)
            : { id: message.id as number, route: message.route, body: fromJSON(message.data) };
          if (decoded?.id) mine._settle(decoded.id, undefined, decoded.body);
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
          const event = (code === "unavailable" && details) || { type: "close", code: 1000, reason: message, wasClean: true };
          // Not within disconnect(): a page may do more before it expects to hear of it.
          void Promise.resolve().then(() => {
            events._emit("close", event);
            events._emit("disconnect", event);
          });
        },
      },
      !!given.decode,
    ));
    line._open();
  };

  const post = (route: string, msg: any, settle?: Settle) => {
    try {
      if (!line) throw new NanoError("unavailable", "not connected");
      const { encode } = params;
      const data = encode ? undefined : toJSON(msg);
      line._post((id) => {
        const body = encode && toBytes(encode(id, route, msg));
        return (dictionary) => body ?? encodeRaw(id ? Wire.REQUEST : Wire.NOTIFY, id, dictionary.codes.get(route) ?? route, data!);
      }, settle);
    } catch (err) {
      fail(err, route);
    }
  };

  const on = (event: string, listener: Listener) => {
    events._add(event, listener);
    return nano;
  };
  const off = (event?: string, listener?: Listener) => {
    events._remove(event, listener);
    return nano;
  };

  const nano: Nano = {
    init,
    request(route: string, msg?: any, callback?: (body: any) => void) {
      if (typeof msg === "function" && !callback) [msg, callback] = [{}, msg];
      msg ||= {};
      route ||= msg.route;
      if (!route) return;
      // The callback gets no errors, as ever.
      post(route, msg, (err, body) => (err ? err === byPage || fail(err, route) : guard(() => callback?.(body))));
    },
    notify: (route, msg) => post(route, msg || {}),
    disconnect: () => line?._close(byPage),
    on,
    once(event, listener) {
      events._add(event, listener, true);
      return nano;
    },
    off,
    emit(event, ...args) {
      events._emit(event, ...args);
      return nano;
    },
    listeners: (event) => events._listeners(event),
    hasListeners: (event) => !!events._listeners(event)[0],
    addEventListener: on,
    removeListener: off,
    removeAllListeners: off,
    removeEventListener: off,
  };
  return nano;
}
