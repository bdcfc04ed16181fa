// The page's client against the golden vectors, and against what must be refused. In Node, without a browser.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const source = await readFile(new URL("../../page/shared/nano-client.js", import.meta.url), "utf8");
const { NanoError, PacketDecoder, Type, decodeMessage, encodeMessage, encodePacket } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);
const vectors = JSON.parse(await readFile(new URL("../../../codec/testdata/vectors.json", import.meta.url), "utf8"));

// bytes reads the vectors' hex, where a long run is written "repeat 63 x 65536".
function bytes(hex) {
  return Buffer.concat(
    hex.split(" then ").map((part) => {
      const run = /^repeat (\w\w) x (\d+)$/.exec(part);
      return run ? Buffer.alloc(Number(run[2]), Buffer.from(run[1], "hex")) : Buffer.from(part, "hex");
    }),
  );
}

const same = (got, want) => assert.ok(Buffer.compare(Buffer.from(got), Buffer.from(want)) === 0, `${Buffer.from(got).toString("hex").slice(0, 80)} is not ${Buffer.from(want).toString("hex").slice(0, 80)}`);

test("packets are those of the golden vectors", async (t) => {
  for (const { name, packet, hex } of vectors.filter((v) => v.packet)) {
    await t.test(name, () => {
      const body = bytes(packet.bodyHex);
      const whole = bytes(hex);
      same(encodePacket(packet.type, body), whole);
      for (const cut of new Set([0, 1, 2, 3, 4, 5, whole.length - 1].filter((n) => n >= 0 && n <= whole.length))) {
        const decoder = new PacketDecoder();
        const found = [...decoder.push(whole.subarray(0, cut)), ...decoder.push(whole.subarray(cut))];
        assert.equal(found.length, 1);
        assert.equal(found[0].type, packet.type);
        same(found[0].body, body);
      }
    });
  }
});

test("messages are those of the golden vectors", async (t) => {
  for (const { name, message, dict = {}, hex } of vectors.filter((v) => v.message)) {
    await t.test(name, () => {
      const codes = new Map(Object.entries(dict));
      const routes = new Map([...codes].map(([route, code]) => [code, route]));
      const type = Type[message.type.toUpperCase()];
      const whole = bytes(hex);
      const data = bytes(message.dataHex);
      const got = decodeMessage(whole, routes);
      assert.equal(got.type, type);
      assert.equal(got.route, message.route);
      same(got.data, data);
      if (!Number.isSafeInteger(message.id)) return; // the page never counts that far
      assert.equal(got.id, message.id);
      same(encodeMessage({ type, id: message.id, route: message.route, data }, codes), whole);
    });
  }
});

test("several packets in one piece, and one in many", () => {
  const stream = Buffer.concat([encodePacket(3), encodePacket(4, Buffer.from("ab")), encodePacket(4)]);
  const kinds = (packets) => packets.map(({ type, body }) => `${type}:${Buffer.from(body)}`);
  assert.deepEqual(kinds(new PacketDecoder().push(stream)), ["3:", "4:ab", "4:"]);
  const decoder = new PacketDecoder();
  assert.deepEqual(kinds([...stream].flatMap((byte) => decoder.push(Uint8Array.of(byte)))), ["3:", "4:ab", "4:"]);
});

test("the error flag", () => {
  assert.equal(decodeMessage(Uint8Array.of(0x24, 1)).error, true);
  assert.equal(decodeMessage(Uint8Array.of(0x04, 1)).error, false);
});

test("what cannot be read is refused", async (t) => {
  for (const [name, hex] of [
    ["nothing", ""],
    ["ends inside the id", "0080"],
    ["id of 11 bytes", "00ffffffffffffffffffff01"],
    ["half a route number", "0701"],
    ["unknown route number", "070009"],
    ["route past the end", "060561"],
    ["unknown type", "0801"],
    ["compressed payload", "160161"],
  ]) {
    await t.test(name, () => assert.throws(() => decodeMessage(bytes(hex)), NanoError));
  }
  assert.throws(() => new PacketDecoder().push(Uint8Array.of(0, 0, 0, 0)), NanoError);
  assert.throws(() => new PacketDecoder().push(Uint8Array.of(6, 0, 0, 0)), NanoError);
  assert.throws(() => encodeMessage({ type: Type.NOTIFY, route: "r".repeat(256) }), NanoError);
});
