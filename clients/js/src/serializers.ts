import { EMPTY, fromUTF8, toBytes, toUTF8 } from "./codec.js";

/**
 * Makes payloads of values and values of payloads. It is told the route, so that it can know types (protobuf), and what
 * the message is. What it throws reaches the caller of the request, or the `error` event.
 */
export interface Serializer {
  encode(value: unknown, route: string, kind: "request" | "notify"): Uint8Array;
  decode(data: Uint8Array, route: string, kind: "response" | "push"): unknown;
}

const isBinary = (value: unknown): value is ArrayBuffer | ArrayBufferView => value instanceof ArrayBuffer || ArrayBuffer.isView(value);

/** What `json` does, for those who have no route to tell. */
export const toJSON = (value: unknown): Uint8Array => (isBinary(value) ? toBytes(value) : toUTF8(JSON.stringify(value ?? {})));
export const fromJSON = (data: Uint8Array): unknown => (data.length ? JSON.parse(fromUTF8(data)) : undefined);

/**
 * JSON, the default. Nothing (`undefined`) is sent as `{}`; an ArrayBuffer or a view of one is sent as it is. An empty
 * payload is `undefined`.
 */
export const json: Serializer = { encode: toJSON, decode: fromJSON };

/** Bytes as they are: takes an ArrayBuffer or a view of one, or nothing; gives Uint8Array. */
export const bytes: Serializer = {
  encode: (value = EMPTY) => {
    if (isBinary(value)) return toBytes(value);
    throw new TypeError("not binary");
  },
  decode: (data) => data,
};
