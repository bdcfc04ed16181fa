// The bytes: golden vectors, what must be refused, and whatever chance comes up with.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Dictionary, NanoError, Packet, PacketDecoder, Protocol, Type, decodeMessage, encodeMessage, encodePacket } from "nano-websocket-client";
import { bytes, vectors } from "./helper.js";

const hex = (data) => Buffer.from(data).toString("hex");

/** All packets of the pieces, and the error that ended it, if any. */
function decode(...pieces) {
  const decoder = new PacketDecoder();
  const packets = [];
  try {
    for (const piece of pieces) decoder.push(piece, (type, body) => packets.push([type, hex(body)]));
  } catch (err) {
    assert.ok(err instanceof NanoError && err.code === "protocol", `${err}`);
    packets.push("error");
  }
  return packets;
}

test("packets are those of the golden vectors", async (t) => {
  for (const { name, packet, hex: whole } of vectors.filter((v) => v.packet)) {
    await t.test(name, () => {
      const body = bytes(packet.bodyHex);
      const data = bytes(whole);
      assert.equal(hex(encodePacket(packet.type, body)), hex(data));
      for (const cut of new Set([0, 1, 2, 3, 4, 5, data.length - 1].filter((n) => n <= data.length))) {
        assert.deepEqual(decode(data.subarray(0, cut), data.subarray(cut)), [[packet.type, hex(body)]], `cut at ${cut}`);
      }
    });
  }
});

test("messages are those of the golden vectors", async (t) => {
  const messages = vectors.filter((v) => v.message);
  assert.ok(messages.length > 30);
  for (const { name, message, dict, hex: whole } of messages) {
    await t.test(name, () => {
      const type = Type[message.type[0].toUpperCase() + message.type.slice(1)];
      const dictionary = dict && new Dictionary(dict);
      const got = decodeMessage(bytes(whole), dictionary);
      // JSON.parse rounds the largest of the vectors' ids; its text is exact.
      const id = Number.isSafeInteger(message.id) ? message.id : BigInt(/\d+$/.exec(name)[0]);
      assert.deepEqual({ ...got, data: hex(got.data) }, { type, id, route: message.route, data: message.dataHex, error: false, gzip: false });
      assert.equal(hex(encodeMessage({ type, id, route: message.route, data: bytes(message.dataHex) }, dictionary)), hex(bytes(whole)));
    });
  }
});

test("what cannot be read is refused", async (t) => {
  for (const [name, data] of [
    ["an empty body", ""],
    ["an end inside the id", "0080"],
    ["an id of 11 bytes", "00ffffffffffffffffffff01"],
    ["half a route number", "0701"],
    ["an unknown route number", "070009"],
    ["a route past the end", "060561"],
    ["no length of the route", "06"],
    ["a type above 3", "0801"],
  ]) {
    await t.test(name, () => assert.throws(() => decodeMessage(bytes(data), new Dictionary({ "a.b": 1 })), { name: "NanoError", code: "protocol" }));
  }
  for (const type of [0, 6, 255]) assert.deepEqual(decode(Uint8Array.of(3, 0, 0, 0, type, 0, 0, 0)), [[3, ""], "error"]);
});

test("what cannot be sent is refused", () => {
  const code = { name: "NanoError", code: "invalid_argument" };
  assert.throws(() => encodeMessage({ type: Type.Notify, route: "r".repeat(256) }), code);
  assert.throws(() => encodeMessage({ type: Type.Notify, route: "é".repeat(128) }), code);
  assert.throws(() => encodePacket(Packet.Data, new Uint8Array(1 << 24)), code);
});

test("the flags of errors and packed payloads", () => {
  for (const error of [false, true]) {
    for (const gzip of [false, true]) {
      const got = decodeMessage(encodeMessage({ type: Type.Response, id: 1, error, gzip }));
      assert.deepEqual([got.error, got.gzip], [error, gzip]);
    }
  }
});

const packet = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.uint8Array({ maxLength: 600 }));

test("however a stream of packets is cut, the same packets come out", () => {
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), (packets, cuts) => {
      const stream = Buffer.concat(packets.map(([type, body]) => encodePacket(type, body)));
      const at = [...new Set(cuts.map((n) => n % (stream.length + 1)))].sort((a, b) => a - b);
      const pieces = [0, ...at].map((from, i) => stream.subarray(from, at[i] ?? stream.length));
      assert.deepEqual(decode(...pieces), packets.map(([type, body]) => [type, hex(body)]));
    }),
    { numRuns: 500 },
  );
});

test("garbage makes no other error than ours, and the same one however it is cut", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(), (data, n) => {
      const cut = n % (data.length + 1);
      const whole = decode(data);
      assert.deepEqual(decode(data.subarray(0, cut), data.subarray(cut)), whole);
      assert.deepEqual(decode(...[...data].map((byte) => Uint8Array.of(byte))), whole);
      try {
        decodeMessage(data, new Dictionary({ "a.b": 1 }));
      } catch (err) {
        assert.ok(err instanceof NanoError && err.code === "protocol", `${err}`);
      }
    }),
    { numRuns: 2000 },
  );
});

test("what the packets' bodies hold stays, whatever comes after", () => {
  const decoder = new PacketDecoder();
  const found = [];
  for (const byte of encodePacket(Packet.Data, Buffer.from("first"))) decoder.push(Uint8Array.of(byte), (_, body) => found.push(body));
  decoder.push(encodePacket(Packet.Data, Buffer.from("other")), (_, body) => found.push(body));
  assert.deepEqual(found.map((body) => Buffer.from(body).toString()), ["first", "other"]);
});

test("messages come back as they went", () => {
  const dictionary = new Dictionary({ "room.join": 1, onMessage: 65535, "房间.消息": 258 });
  const route = fc.oneof(fc.constantFrom(...dictionary.codes.keys()), fc.string({ unit: "grapheme", maxLength: 40 }));
  const id = fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: BigInt(Number.MAX_SAFE_INTEGER) + 1n, max: 2n ** 64n - 1n }));
  fc.assert(
    fc.property(fc.constantFrom(0, 1, 2, 3), id, route, fc.uint8Array({ maxLength: 300 }), fc.boolean(), fc.boolean(), (type, n, name, data, error, gzip) => {
      const message = {
        type,
        id: type === Type.Request || type === Type.Response ? n : 0,
        route: type === Type.Response ? "" : name,
        data: hex(data),
        error,
        gzip,
      };
      const got = decodeMessage(encodeMessage({ ...message, data }, dictionary), dictionary);
      assert.deepEqual({ ...got, data: hex(got.data) }, message);
    }),
    { numRuns: 1000 },
  );
});

test("Protocol speaks the same bytes under v0.5's names", async (t) => {
  for (const { name, packet, message, dict, hex: whole } of vectors) {
    await t.test(name, () => {
      if (packet) {
        const { type, body } = Protocol.Package.decode(bytes(whole));
        assert.equal(type, packet.type);
        assert.equal(hex(body ?? []), hex(bytes(packet.bodyHex)));
        assert.equal(hex(Protocol.Package.encode(type, body)), hex(bytes(whole)));
        return;
      }
      const { id, type, compressRoute, route, body } = Protocol.Message.decode(bytes(whole));
      assert.equal(compressRoute ? dict[message.route] : message.route, route);
      assert.equal(Protocol.Message[`TYPE_${message.type.toUpperCase()}`], type);
      if (Number.isSafeInteger(message.id)) {
        assert.equal(id, message.id);
        assert.equal(hex(Protocol.Message.encode(id, type, compressRoute, route, body)), hex(bytes(whole)));
      }
    });
  }
  assert.equal(Protocol.strdecode(Protocol.strencode("snow ☃ 🦊")), "snow ☃ 🦊");
  const two = Buffer.concat([Protocol.Package.encode(3), Protocol.Package.encode(4, Protocol.strencode("x"))]);
  assert.deepEqual(Protocol.Package.decode(two).map(({ type }) => type), [3, 4]);
});
