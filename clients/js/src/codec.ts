// Packets and messages: the bytes of the protocol, without a connection.
import { NanoError } from "./errors.js";

// What numbers mean on the wire. As enums they are written as numbers into what is built, which
// keeps that small.
export const enum Wire {
  HANDSHAKE = 1,
  HANDSHAKE_ACK = 2,
  HEARTBEAT = 3,
  DATA = 4,
  KICK = 5,

  REQUEST = 0,
  NOTIFY = 1,
  RESPONSE = 2,
  PUSH = 3,

  COMPRESSED = 1,
  GZIP = 16,
  ERROR = 32,
}

/** Types of packets. */
export const Packet = { Handshake: 1, HandshakeAck: 2, Heartbeat: 3, Data: 4, Kick: 5 } as const;
export type PacketType = (typeof Packet)[keyof typeof Packet];

/** Types of messages. */
export const Type = { Request: 0, Notify: 1, Response: 2, Push: 3 } as const;
export type MessageType = (typeof Type)[keyof typeof Type];

export const EMPTY = new Uint8Array(0);

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Text to UTF-8. */
export const toUTF8 = (text: string): Uint8Array => encoder.encode(text);
/** UTF-8 to text. */
export const fromUTF8 = (bytes: Uint8Array): string => decoder.decode(bytes);

/** JSON to a value; what is none gives the other one. */
export const parseOr = (bytes: Uint8Array, other: unknown): unknown => {
  try {
    return JSON.parse(fromUTF8(bytes));
  } catch {
    return other;
  }
};

/** The bytes of whatever holds bytes; a copy only of an array of numbers. */
export function toBytes(data: ArrayBufferLike | ArrayBufferView | ArrayLike<number>): Uint8Array {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return new Uint8Array(data as ArrayBuffer);
}

function concat(a: ArrayLike<number>, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const broken = (message: string) => new NanoError("protocol", message);

/** Gives the bytes back, if they are not too many for what they are. */
export const fit = (bytes: Uint8Array, limit = 0xffffff, what = "packet"): Uint8Array => {
  if (bytes.length > limit) throw new NanoError("invalid_argument", `${what} too long: ${bytes.length} bytes of at most ${limit}`);
  return bytes;
};

/** Makes one packet: the type, the length of the body in three bytes, the body. */
export function encodePacket(type: PacketType, body: Uint8Array = EMPTY): Uint8Array {
  const n = fit(body).length;
  return concat([type, n >> 16, n >> 8, n], body);
}

/** Finds the packets in what arrives, however it was cut. */
export class PacketDecoder {
  private _rest = EMPTY; // of a packet that is not complete

  /**
   * Takes bytes and gives `each` the packets that are complete. A body may share memory with the
   * bytes. Throws at a type that does not exist, after the packets before it; nothing can be read
   * from then on.
   */
  push(bytes: Uint8Array, each: (type: PacketType, body: Uint8Array) => void): void {
    let data = this._rest.length ? concat(this._rest, bytes) : bytes;
    try {
      while (data.length > 3) {
        const [type, high, middle, low] = data as unknown as [PacketType, number, number, number];
        if (type < Wire.HANDSHAKE || type > Wire.KICK) throw broken(`unknown type ${type} of a packet`);
        const end = 4 + ((high << 16) | (middle << 8) | low);
        if (end > data.length) break;
        const body = data.subarray(4, end);
        data = data.subarray(end);
        each(type, body);
      }
    } finally {
      this._rest = data.slice();
    }
  }
}

/** What a data packet holds. */
export interface Message {
  type: MessageType;
  /**
   * Of requests and responses; 0 means that no answer is wanted. A bigint only if a number would
   * not be exact.
   */
  id: number | bigint;
  /** Of requests, notifies and pushes. */
  route: string;
  /** What a serializer made. */
  data: Uint8Array;
  /** The response is an error. */
  error: boolean;
  /** The payload is packed. */
  gzip: boolean;
}

/** Routes that are sent as two bytes. It does not change. */
export class Dictionary {
  /** Route to number. */
  readonly codes: ReadonlyMap<string, number>;
  /** Number to route. */
  readonly routes: ReadonlyMap<number, string>;

  constructor(codes: Readonly<Record<string, number>> = {}) {
    this.codes = new Map(Object.entries(codes));
    this.routes = new Map([...this.codes].map(([route, code]) => [code, route]));
  }
}

const hasId = (type: number) => type === Wire.REQUEST || type === Wire.RESPONSE;

/** A number in groups of seven bits, the low ones first. */
export const varint = (n: number | bigint): number[] => {
  const bytes = [];
  let rest = BigInt(n);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
};

/** The parts of a message as they are on the wire: a route may be a number of the dictionary. */
export interface RawMessage extends Omit<Message, "route"> {
  route: string | number;
}

/** Makes a message of its parts. */
export function encodeRaw(type: number, id: number | bigint, route: string | number, data: Uint8Array, flags?: number): Uint8Array {
  const head = [flags! | (type << 1)];
  if (hasId(type)) head.push(...varint(id));
  if (type !== Wire.RESPONSE) {
    if (typeof route === "number") {
      head[0]! |= Wire.COMPRESSED;
      head.push(route >> 8, route & 255);
    } else {
      const name = fit(toUTF8(route), 255, "route");
      head.push(name.length, ...name);
    }
  }
  return concat(head, data);
}

/** The number in bytes that varint made. */
export const readVarint = (bytes: Uint8Array): number => bytes.reduceRight((n, b) => n * 128 + (b & 127), 0);

/** Takes a message apart. The payload shares memory with the body. */
export function decodeRaw(body: Uint8Array): RawMessage {
  let at = 0;
  const next = () => {
    if (at >= body.length) throw broken("message too short");
    return body[at++]!;
  };
  const flag = next();
  const type = (flag >> 1) & 7;
  if (type > Wire.PUSH) throw broken(`unknown type ${type} of a message`);
  let id: number | bigint = 0;
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
  let route: string | number = "";
  if (type !== Wire.RESPONSE) {
    if (flag & Wire.COMPRESSED) {
      route = (next() << 8) | next();
    } else {
      const end = next() + at;
      if (end > body.length) throw broken("message too short");
      route = fromUTF8(body.subarray(at, end));
      at = end;
    }
  }
  return {
    type: type as MessageType,
    id,
    route,
    data: body.subarray(at),
    error: !!(flag & Wire.ERROR),
    gzip: !!(flag & Wire.GZIP),
  };
}

/** Makes the body of a data packet. */
export function encodeMessage(
  { type, id = 0, route = "", data = EMPTY, error, gzip }: Pick<Message, "type"> & Partial<Message>,
  dictionary?: Dictionary,
): Uint8Array {
  const flags = (error ? Wire.ERROR : 0) | (gzip ? Wire.GZIP : 0);
  return encodeRaw(type, id, dictionary?.codes.get(route) ?? route, data, flags);
}

/**
 * Reads the body of a data packet. The payload shares memory with the body, and is still packed if
 * `gzip` says so.
 */
export function decodeMessage(body: Uint8Array, dictionary?: Dictionary): Message {
  const message = decodeRaw(body);
  if (typeof message.route === "number") {
    const route = dictionary?.routes.get(message.route);
    if (route === undefined) throw broken(`unknown route ${message.route}`);
    message.route = route;
  }
  return message as Message;
}
