// The package's own WebSocket for Node, against a server that sends what the tests say.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";
import { Packet, connect, encodePacket } from "nano-websocket-client";
import { until } from "./helper.js";

const skip = globalThis.WebSocket && "Node's own is in use"; // see test:node in package.json
const frame = (op, payload) => {
  const head = Buffer.alloc(10);
  head.writeUInt16BE((op << 8) | 127);
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([head, payload]);
};
const FINAL = 0x80;

/** Upgrades, and gives the socket to serve. */
async function server(t, serve) {
  const http = createServer();
  http.on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.on("error", () => {});
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    serve(socket);
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  t.after(() => (http.closeAllConnections(), http.close()));
  return `ws://127.0.0.1:${http.address().port}/`;
}

const welcome = encodePacket(Packet.Handshake, Buffer.from('{"code":200,"sys":{}}'));

test("a message in fragments is put together, with a ping between them", { skip }, async (t) => {
  const url = await server(t, (socket) => {
    socket.write(frame(2, welcome.subarray(0, 3)));
    socket.write(frame(0, Buffer.alloc(0)));
    socket.write(frame(FINAL | 9, Buffer.from("ping")));
    socket.write(frame(FINAL | 0, welcome.subarray(3)));
  });
  const c = connect(url, { reconnect: false });
  await c.ready();
  c.close();
});

// A frame is bounded; a server that never ends its message must not fill the memory with many.
test("fragments without an end have a bound together", { skip, timeout: 60_000 }, async (t) => {
  let sent = 0;
  const url = await server(t, (socket) => {
    const piece = frame(0, Buffer.alloc(1 << 20));
    socket.write(frame(FINAL | 2, welcome)); // one that ends does not count
    socket.write(frame(2, Buffer.alloc(0)));
    const more = () => {
      while (!socket.destroyed && sent < 100) {
        sent++;
        if (!socket.write(piece)) return socket.once("drain", more);
      }
    };
    more();
  });
  const c = connect(url, { reconnect: false });
  await c.ready();
  const { error } = await until(c, "closed");
  assert.equal(error.code, "unavailable");
  assert.ok(sent > 64 && sent < 100, `${sent} MiB were taken`);
});
