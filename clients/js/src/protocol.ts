// The codec under the names that v0.5's pages use in an `encode` or `decode` of their own.
import { EMPTY, type PacketType, Packet, PacketDecoder, Type, decodeRaw, encodePacket, encodeRaw, fromUTF8, toBytes, toUTF8 } from "./codec.js";

type Bytes = ArrayBuffer | ArrayBufferView | number[];

/** A packet as `Protocol.Package.decode` gives it. The body is null if there is none. */
export interface Package {
  type: number;
  body: Uint8Array | null;
}

const bytesOf = (data?: Bytes | null) => (data ? toBytes(data) : EMPTY);

/** Packets, messages and strings to bytes and back. */
export const Protocol = {
  strencode: toUTF8,
  strdecode: (data: Bytes): string => fromUTF8(toBytes(data)),
  Package: {
    TYPE_HANDSHAKE: Packet.Handshake,
    TYPE_HANDSHAKE_ACK: Packet.HandshakeAck,
    TYPE_HEARTBEAT: Packet.Heartbeat,
    TYPE_DATA: Packet.Data,
    TYPE_KICK: Packet.Kick,
    encode: (type: number, body?: Bytes | null): Uint8Array => encodePacket(type as PacketType, bytesOf(body)),
    /** One packet, or an array if there are several. */
    decode(data: Bytes): Package | Package[] {
      const packets: Package[] = [];
      new PacketDecoder().push(toBytes(data), (type, body) => packets.push({ type, body: body.length ? body : null }));
      return packets.length === 1 ? packets[0]! : packets;
    },
  },
  Message: {
    TYPE_REQUEST: Type.Request,
    TYPE_NOTIFY: Type.Notify,
    TYPE_RESPONSE: Type.Response,
    TYPE_PUSH: Type.Push,
    /** With compressRoute, the route is its number in the dictionary. */
    encode: (id: number, type: number, compressRoute: boolean | number, route: string | number | null, msg?: Bytes | null): Uint8Array =>
      encodeRaw(type, id, compressRoute ? Number(route) : String(route ?? ""), bytesOf(msg)),
    decode(data: Bytes) {
      const { id, type, route, data: body } = decodeRaw(toBytes(data));
      return { id: Number(id), type, compressRoute: typeof route === "number" ? 1 : 0, route, body };
    },
  },
};
