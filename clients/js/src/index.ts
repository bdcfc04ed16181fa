/**
 * A client for nano servers, for browsers, workers and Node.
 *
 * @packageDocumentation
 */
import { createNano, type Nano } from "./v05.js";

export { Dictionary, type Message, type MessageType, Packet, PacketDecoder, type PacketType, Type, decodeMessage, encodeMessage, encodePacket } from "./codec.js";
export { type ConnectOptions, Connection, type Events, type NotifyOptions, type PushOptions, type RequestOptions, type Routes, connect } from "./connection.js";
export { NanoError } from "./errors.js";
export type { ReconnectOptions, State } from "./line.js";
export type { Handshake, VersionedDictionary, WebSocketConstructor, WebSocketLike } from "./link.js";
export { type Package, Protocol } from "./protocol.js";
export { type Serializer, bytes, json } from "./serializers.js";
export { type DecodedMessage, type InitParams, type Nano, createNano } from "./v05.js";

/** The client that v0.5's pages use. */
export const nano: Nano = /* @__PURE__ */ createNano();
/** Its older name. */
export const starx: Nano = nano;
