import { Dictionary, type Message, PacketDecoder, type PacketType, Wire, decodeMessage, encodePacket, fromUTF8, parseOr, toBytes, toUTF8 } from "./codec.js";
import { NanoError, asNanoError } from "./errors.js";
import type { Session } from "./resume.js";

/** What is used of a WebSocket: that of browsers, of Node, or of a package such as `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  onopen: ((event: any) => void) | null;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  onmessage: ((event: any) => void) | null;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  onerror: ((event: any) => void) | null;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  onclose: ((event: any) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** The server's answer to the handshake. */
export interface Handshake {
  code: number;
  sys: {
    /** Seconds. */
    heartbeat?: number;
    /** Seconds since 1970, by the server's clock. */
    servertime?: number;
    dict?: Record<string, number>;
    /** Names the dictionary; one that the client has kept under it is not sent again. */
    dictVersion?: string | number;
    /** Bytes that the body of a packet to the server may have. */
    maxPacket?: number;
    /** What was asked for and will be used: `error`, `gzip`, `batch`, `resume`. */
    accepted?: string[];
    /**
     * Of `resume`: what the next connection says to go on with the session; whether this one does,
     * or why not; and whether messages may be lost although it does.
     */
    resume?: { token: string; window: number; resumed?: boolean; received?: number; gap?: boolean; reason?: string };
    [key: string]: unknown;
  };
  /** What the application adds to the answer. */
  user?: unknown;
  /** Why the server does not want this client, if the code is not 200. */
  reason?: string;
}

/** Routes as numbers, under the version that the server gave them. */
export interface VersionedDictionary {
  version: string | number;
  routes: Record<string, number>;
}

/** The message of the error with which a link ends whose server said nothing for too long. */
export const SILENT = "the server is silent";

export interface LinkOptions {
  /** Milliseconds from the beginning to the end of the handshake. */
  _timeout: number;
  /** Gives messages as they came, not taken apart. */
  _raw?: boolean | undefined;
  _kept?: VersionedDictionary | undefined;
}

/** Who has a link. Nothing is called after _down, and nothing before openLink has returned. */
export interface LinkOwner {
  _open(answer: Handshake, dictionary: Dictionary, kept: VersionedDictionary | undefined): void;
  _message(message: Message, raw: Uint8Array): void;
  /** The socket complains; _down follows. */
  _ioError: (event: unknown) => void;
  /**
   * A message cannot be read; the connection goes on. The id is a response's, if so much could be
   * read.
   */
  _error(err: NanoError, id?: number | bigint): void;
  /** It ended, for this reason. */
  _down(err: NanoError): void;
}

type Job = () => void | Promise<void>;

const gunzip = async (data: Uint8Array): Promise<Uint8Array> => {
  const stream = new Response(data as Uint8Array<ArrayBuffer>).body!.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

/** One connection, from its beginning to its end. */
export interface Link {
  readonly _socket: WebSocketLike;
  _send(type: PacketType, body?: Uint8Array): void;
  /**
   * Ends it, for the server too if it is a goodbye. The owner hears of it before this returns.
   * Harmless if it has ended.
   */
  _end(err: NanoError, goodbye?: boolean): void;
}

/** Shakes hands on a new socket, with what hello makes, and answers heartbeats. */
export function openLink(socket: WebSocketLike, hello: () => Promise<Uint8Array>, options: LinkOptions, owner: LinkOwner, session?: Session): Link {
  const packets = new PacketDecoder();
  const inbox: Job[] = []; // what came and was not handled yet
  let dictionary = new Dictionary();
  let ready = false; // the handshake is over
  let over = false;
  let working = false;
  let heard = 0; // when anything came last
  let timer: ReturnType<typeof setTimeout>;

  const send = (type: PacketType, body?: Uint8Array) => {
    const packet = encodePacket(type, body);
    if (!over) socket.send(packet as Uint8Array<ArrayBuffer>);
  };

  const end = (err: NanoError, goodbye?: boolean) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {}; // of the close, where the socket was not open yet
    socket.close(goodbye ? 1000 : undefined); // without a code, the session may go on
    owner._down(err);
  };
  const unavailable = (message: string, details?: unknown) => end(new NanoError("unavailable", message, details));
  const failed = (err: unknown, code?: string) => end(asNanoError(err, code));

  // What came is handled in its order. Unpacking makes the rest wait, the end of the connection
  // too. In any case whoever awaits an answer goes on before what came after it is handled.
  const handle = async (job: Job) => {
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

  // The server beats once an interval. Two and a half without a sign of it, and it is gone. When
  // the timer itself is late, the tab was asleep, or timers are held back in it: what arrived
  // meanwhile has yet to be handled, so the server gets one more look.
  const watch = (silence: number) => {
    const look = (wait: number, again?: boolean) => {
      const due = Date.now() + wait;
      timer = setTimeout(() => {
        const now = Date.now();
        const left = heard + silence - now;
        if (left > 0) look(Math.min(left, silence));
        else if (now - due > 1000 && !again) look(2000, true);
        else unavailable(SILENT);
      }, wait);
    };
    look(silence);
  };

  const shakeHands = (body: Uint8Array) => {
    const answer = JSON.parse(fromUTF8(body)) as Handshake;
    const { dict, dictVersion, heartbeat } = (answer.sys ??= {});
    if (answer.code !== 200) {
      // 503: not now. Any other refusal would come again: a bad token does not get better.
      const code = answer.code === 503 ? "unavailable" : "refused";
      return end(new NanoError(code, answer.reason || `refused with code ${answer.code}`, answer));
    }
    // The server need not send a dictionary that the client has kept.
    const routes = dict ?? (dictVersion === options._kept?.version ? options._kept?.routes : undefined);
    dictionary = new Dictionary(routes);
    send(Wire.HANDSHAKE_ACK);
    clearTimeout(timer);
    if (heartbeat! > 0) watch(Math.min(heartbeat! * 2500, 2 ** 31 - 1)); // no timer is longer
    ready = true;
    owner._open(answer, dictionary, routes && dictVersion !== undefined ? { version: dictVersion, routes } : undefined);
  };

  const open = async (body: Uint8Array) => {
    let message;
    try {
      message = options._raw ? undefined : decodeMessage(body, dictionary);
      if (message?.gzip) message.data = await gunzip(message.data);
      if (!over) owner._message(message!, body);
    } catch (err) {
      if (!over) owner._error(asNanoError(err), message?.id);
    }
    if (!over && session?._handled(body.length)) send(Wire.HEARTBEAT, session._beat());
  };

  const kicked = (body: Uint8Array) => {
    const said = parseOr(body, {}) as { reason?: string } | null;
    end(new NanoError("kicked", said?.reason ?? "", said));
  };

  const receive = (type: PacketType, body: Uint8Array): void | Promise<void> => {
    // Beats are answered, and none are sent on our own time: what arrives is handled in a hidden
    // tab too, where timers are held back.
    if (type === Wire.HEARTBEAT) send(Wire.HEARTBEAT, session?._beat(body));
    else if (type === Wire.HANDSHAKE && !ready) shakeHands(body);
    else if (type === Wire.DATA && ready) return open(body);
    else if (type === Wire.KICK) kicked(body);
  };

  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    hello()
      .then((body) => send(Wire.HANDSHAKE, body))
      .catch((err) => failed(err, "unavailable")); // who it is could not be found out
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
