// Both faces against a real node, from Node: with the package's own WebSocket, and once more with the one that Node has
// from version 22 on, and version 20 behind --experimental-websocket.
import assert from "node:assert/strict";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Int64ValueSchema, StringValueSchema } from "@bufbuild/protobuf/wkt";
import { NanoError, Protocol, bytes, connect, createNano } from "nano-websocket-client";
import { build, heard, pushes, root, run, start, states, until } from "./helper.js";

const switches = process.execArgv.filter((arg) => arg.includes("experimental-websocket"));
const native = switches.includes("--experimental-websocket");

let built;
before(async () => {
  built = await build();
});
after(() => built?.remove());

const open = []; // ended after each test
const enter = (connection) => {
  open.push(() => connection.close());
  return connection;
};
const serve = async (...args) => {
  const server = await start(built.program, ...args);
  open.push(() => server.kill());
  return server;
};
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

test("the WebSocket is Node's where it has one", async () => {
  const { WebSocket } = globalThis;
  assert.equal(typeof WebSocket, native ? "function" : "undefined");
  let made = 0;
  if (native) {
    globalThis.WebSocket = class extends WebSocket {
      constructor(...args) {
        super(...args);
        made++;
      }
    };
    open.push(() => (globalThis.WebSocket = WebSocket));
  }
  const c = enter(connect((await serve()).ws));
  assert.deepEqual(await c.request("test.echo", { text: "hi" }), { text: "hi" });
  assert.equal(made, native ? 1 : 0);
});

describe("the modern face", { timeout: 60_000 }, () => {
  test("requests, notifies, pushes, errors and binary payloads", async () => {
    const server = await serve();
    const c = enter(connect(server.ws, { user: { name: "Ada" } }));
    assert.deepEqual(await c.request("test.echo", { text: "hi", n: 1 }), { text: "hi", n: 1 }); // not open yet: it waits
    assert.deepEqual(c.handshake.user, { hello: "Ada", token: "" });
    assert.deepEqual(c.handshake.sys.accepted, ["error", "gzip", "batch"]);
    assert.equal(c.handshake.sys.said.type, "js-websocket");

    const said = pushes(c, "onSay");
    c.notify("test.say", { text: "小猫 🐈" });
    assert.deepEqual(await said, [{ text: "小猫 🐈" }]);

    await assert.rejects(c.request("test.fail", { text: "Ada" }), { name: "NanoError", code: "full", message: "no room for Ada" });
    await assert.rejects(c.request("test.nowhere"), (err) => err instanceof NanoError && err.code === "not_found");
    await assert.rejects(c.request("test.silent", {}, { timeout: 50 }), { code: "deadline_exceeded" });

    const raw = Uint8Array.from({ length: 256 }, (_, i) => i);
    const pushed = pushes(c, "onRaw", 1, { serializer: bytes });
    assert.deepEqual(Buffer.from(await c.request("test.raw", raw, { serializer: bytes })), Buffer.from(raw));
    assert.deepEqual(Buffer.from((await pushed)[0]), Buffer.from(raw));
  });

  test("many at once keep their order, packed and merged, with and without the dictionary", async () => {
    const server = await serve();
    const c = enter(connect(server.ws));
    for (const [route, size] of [
      ["tick", 0],
      ["tick", 3000],
      ["onOther", 10],
      ["onLast", 60_000],
    ]) {
      const count = size > 10_000 ? 20 : 500;
      const got = pushes(c, route, count);
      await c.request("test.push", { route, count, size });
      const all = await got;
      assert.deepEqual(all.map(({ n = 0 }) => n), Array.from({ length: count }, (_, i) => i));
      assert.ok(all.every(({ text }) => text.length === size));
    }
    const replies = await Promise.all(Array.from({ length: 300 }, (_, n) => c.request("test.echo", { text: "a", n: n + 1 })));
    assert.deepEqual(replies.map(({ n }) => n), Array.from({ length: 300 }, (_, n) => n + 1));
    const big = "0123456789".repeat(6000);
    assert.equal((await c.request("test.echo", { text: big })).text, big);
  });

  test("a node without dictionary, gzip and merging, and a client that asks for nothing", async () => {
    const server = await serve("-plain");
    const c = enter(connect(server.ws));
    assert.deepEqual(await c.request("test.echo", { text: "hi" }), { text: "hi" });
    assert.deepEqual(c.handshake.sys.accepted, ["error"]);
    const modest = enter(connect(server.ws, { accept: [] }));
    await modest.ready();
    assert.equal(modest.handshake.sys.accepted, undefined);
    await assert.rejects(modest.request("test.fail", {}, { timeout: 100 }), { code: "deadline_exceeded" });
  });

  test("pushes that follow an answer at once find handlers made after it", async () => {
    const server = await serve();
    const c = enter(connect(server.ws));
    await c.request("test.push", { route: "tick", count: 3, size: 0, after: true });
    assert.equal((await pushes(c, "tick", 3)).length, 3);
  });

  test("it survives restarts of the node, with its handlers", async () => {
    const server = await serve();
    const c = enter(connect(server.ws, { reconnect: { min: 20, max: 200 } }));
    const seen = states(c);
    const said = [];
    c.onPush("onSay", ({ text }) => said.push(text));
    await c.ready();
    for (const end of ["stop", "kill"]) {
      const waiting = until(c, "waiting");
      const lost = c.request("test.silent");
      const ended = assert.rejects(lost, { code: "unavailable" });
      await server[end]();
      await waiting;
      await ended;
      c.notify("test.say", { text: `while away: ${end}` });
      const back = await serve("-addr", server.host);
      server.stop = back.stop;
      server.kill = back.kill;
      const again = pushes(c, "onSay", 1);
      await again;
    }
    assert.deepEqual(said, ["while away: stop", "while away: kill"]);
    assert.equal(seen.find(({ state }) => state === "waiting").error.code, "kicked");
    assert.equal(seen.find(({ state }) => state === "waiting").reason, "server shutdown");
    assert.equal(seen.filter(({ state, again }) => state === "open" && again).length, 2);
  });

  test("what is too long for the node fails by itself; its limit comes with the handshake", async () => {
    for (const [args, limit] of [
      [[], 65536],
      [["-max-packet", "1000"], 1000],
      [["-max-packet", "300000"], 300_000],
    ]) {
      const server = await serve(...args);
      const c = enter(connect(server.ws));
      await c.ready();
      assert.equal(c.handshake.sys.maxPacket, limit);
      const beside = c.request("test.echo", { text: "still here" });
      await assert.rejects(c.request("test.raw", new Uint8Array(limit), { serializer: bytes }), { code: "invalid_argument" });
      assert.throws(() => c.notify("test.say", { text: "x".repeat(limit) }), { code: "invalid_argument" });
      assert.equal((await c.request("test.raw", new Uint8Array(limit - 20), { serializer: bytes })).length, limit - 20);
      assert.deepEqual(await beside, { text: "still here" });
      assert.equal(c.state, "open");
      await server.kill();
      c.close();
    }
  });

  test("the dictionary is kept by the version that the node gives it", async () => {
    const server = await serve();
    const c = enter(connect(server.ws, { reconnect: { min: 20, max: 200 } }));
    const use = async (connection, sent) => {
      assert.deepEqual(await connection.request("test.echo", { text: "hi" }), { text: "hi" });
      const tick = pushes(connection, "tick");
      await connection.request("test.push", { route: "tick", count: 1, size: 3 });
      assert.equal((await tick)[0].text, "xxx");
      assert.equal(!!connection.handshake.sys.dict, sent);
      assert.ok(connection.dictionary.routes["test.echo"]);
    };
    await use(c, true);
    for (const [args, sent] of [
      [[], false], // the same dictionary in another process
      [["-swapped"], true],
    ]) {
      const waiting = until(c, "waiting");
      await server.stop();
      await waiting;
      const back = await serve("-addr", server.host, ...args);
      server.stop = back.stop;
      await until(c, "open");
      await use(c, sent);
    }
    await use(enter(connect(server.ws, { dictionary: c.dictionary })), false);
    await use(enter(connect(server.ws, { accept: [] })), true);
  });

  test("kicked, refused, closed by the server, nobody there", async () => {
    const server = await serve();
    const kicked = enter(connect(server.ws));
    kicked.notify("test.kick", { reason: "cheating" });
    const { error } = await until(kicked, "closed");
    assert.deepEqual([error.code, error.message], ["kicked", "cheating"]);

    const refused = enter(connect(server.ws, { user: { token: "bad" } }));
    await assert.rejects(refused.ready(), { code: "refused", message: "wrong token" });
    assert.equal(refused.state, "closed");

    const cut = enter(connect(server.ws, { reconnect: false }));
    cut.notify("test.close");
    assert.equal((await until(cut, "closed")).error.code, "unavailable");

    for (const url of [`ws://127.0.0.1:1/nano`, `${server.url}/nothing-here`]) {
      const nobody = enter(connect(url, { reconnect: false, handshakeTimeout: 0x7fffffff })); // told at once, not after a timeout
      await assert.rejects(nobody.ready(), { code: "unavailable", message: "cannot connect" });
    }
  });

  test("the node's heartbeats are answered: both stay", async () => {
    const server = await serve("-heartbeat", "1s");
    const c = enter(connect(server.ws));
    await c.ready();
    assert.equal(c.handshake.sys.heartbeat, 1);
    const seen = states(c);
    await new Promise((resolve) => setTimeout(resolve, 4500)); // the node gives up after three intervals, the client after two and a half
    assert.deepEqual(seen, []);
    assert.deepEqual(await c.request("test.echo", { text: "still here" }), { text: "still here" });
  });

  test("protobuf, by a serializer of the application's", async () => {
    const server = await serve("-protobuf");
    const schemas = {
      requests: { "test.double": [StringValueSchema, StringValueSchema] },
      pushes: { doubled: Int64ValueSchema },
    };
    const protobuf = {
      encode: (value, route) => toBinary(schemas.requests[route][0], value),
      decode: (data, route, kind) => fromBinary(kind === "push" ? schemas.pushes[route] : schemas.requests[route][1], data),
    };
    const c = enter(connect(server.ws, { serializer: protobuf }));
    const length = pushes(c, "doubled");
    const reply = await c.request("test.double", create(StringValueSchema, { value: "ab" }));
    assert.equal(reply.value, "abab");
    assert.equal((await length)[0].value, 4n);
    const long = "é".repeat(5000);
    assert.equal((await c.request("test.double", create(StringValueSchema, { value: long }))).value, long + long);
    await assert.rejects(c.request("test.double", create(StringValueSchema)), { code: "empty", message: "nothing to double" });
    await assert.rejects(c.request("test.unknown", {}), { code: "invalid_argument" });
  });

  test("TLS", async () => {
    const cert = path.join(built.folder, "cert.pem");
    const server = await serve("-cert", cert);
    const program = `
      import { connect } from "nano-websocket-client";
      const c = connect(${JSON.stringify(server.ws)}, { reconnect: false });
      console.log((await c.request("test.echo", { text: "secret" })).text);
      c.close();`;
    const args = [...switches, "--input-type=module", "-e", program];
    const { stdout } = await run(process.execPath, args, { cwd: root, env: { ...process.env, NODE_EXTRA_CA_CERTS: cert } });
    assert.equal(stdout, "secret\n"); // and the process ends by itself
    await assert.rejects(run(process.execPath, args, { cwd: root }), /cannot connect|certificate/);
  });
});

describe("v0.5's face", { timeout: 60_000 }, () => {
  const enter = () => {
    const nano = createNano();
    open.push(() => {
      nano.off();
      nano.disconnect();
    });
    return nano;
  };
  const init = (nano, server, params = {}) => {
    const { hostname: host, port } = new URL(server.url);
    return new Promise((resolve) => nano.init({ host, port, path: "/nano", ...params }, resolve));
  };

  test("init, request, notify, on, once, off, disconnect", async () => {
    const server = await serve();
    const nano = enter();
    const users = [];
    const early = new Promise((resolve) => nano.once("test", resolve));
    nano.emit("test", 1);
    assert.equal(await early, 1);
    const done = init(nano, server, { user: { name: "Ada" }, handshakeCallback: (user) => users.push(user) });
    const waited = new Promise((resolve) => nano.request("test.echo", { text: "early" }, resolve)); // before the handshake
    const socket = await done;
    assert.equal(typeof socket.send, "function");
    assert.deepEqual(users, [{ hello: "Ada", token: "" }]);
    assert.deepEqual(await waited, { text: "early" });

    const got = [];
    const listener = (msg) => got.push(msg.text);
    assert.equal(nano.on("onSay", listener), nano);
    nano.once("onSay", (msg) => got.push(`once ${msg.text}`));
    for (const text of ["a", "b"]) {
      const heardIt = heard(nano, "onSay");
      nano.notify("test.say", { text });
      await heardIt;
    }
    nano.off("onSay", listener);
    const heardIt = heard(nano, "onSay");
    nano.notify("test.say", { text: "c" });
    await heardIt;
    assert.deepEqual(got, ["a", "once a", "b"]);

    assert.deepEqual(await new Promise((resolve) => nano.request("test.echo", resolve)), { text: "" }); // without a message
    let failed = 0;
    nano.request("test.fail", { text: "x" }, () => failed++); // v0.5: no answer to what fails
    await new Promise((resolve) => nano.request("test.echo", {}, resolve));
    assert.equal(failed, 0);

    const order = [];
    nano.on("close", () => order.push("close"));
    const gone = heard(nano, "disconnect");
    nano.disconnect();
    order.push("after disconnect()");
    await gone;
    assert.deepEqual(order, ["after disconnect()", "close"]);
    await init(nano, server); // and again
    assert.deepEqual(await new Promise((resolve) => nano.request("test.echo", { text: "again" }, resolve)), { text: "again" });
  });

  test("callbacks and pushes come in the order of the wire", async () => {
    const server = await serve();
    const nano = enter();
    await init(nano, server);
    const got = [];
    await new Promise((resolve) => {
      nano.on("tick", ({ n = 0 }) => got.push(n) === 5 && resolve());
      nano.request("test.push", { route: "tick", count: 4, size: 2, after: true }, () => got.push("answer"));
    });
    assert.deepEqual(got, ["answer", 0, 1, 2, 3]);
  });

  test("a page's own encode and decode", async () => {
    const server = await serve("-plain");
    const nano = enter();
    const sent = [];
    const routes = new Map();
    await init(nano, server, {
      encode: (reqId, route, msg) => {
        sent.push([reqId, route]);
        routes.set(reqId, route);
        const type = reqId ? Protocol.Message.TYPE_REQUEST : Protocol.Message.TYPE_NOTIFY;
        return Protocol.Message.encode(reqId, type, 0, route, Protocol.strencode(JSON.stringify({ ...msg, n: 42 })));
      },
      decode: (data) => {
        const { id, route, body } = Protocol.Message.decode(data);
        return { id, route: route || routes.get(id), body: { own: true, ...JSON.parse(Protocol.strdecode(body)) } };
      },
    });
    assert.deepEqual(await new Promise((resolve) => nano.request("test.echo", { text: "x" }, resolve)), { own: true, text: "x", n: 42 });
    const said = heard(nano, "onSay");
    nano.notify("test.say", { text: "y" });
    assert.deepEqual(await said, { own: true, text: "y", n: 42 });
    assert.deepEqual(sent, [
      [1, "test.echo"],
      [0, "test.say"],
    ]);
  });

  test("onKick, then close and disconnect", async () => {
    const server = await serve();
    const nano = enter();
    await init(nano, server);
    const order = [];
    for (const event of ["onKick", "close", "error"]) nano.on(event, (detail) => order.push([event, detail.reason]));
    const gone = heard(nano, "disconnect");
    nano.notify("test.kick", { reason: "bye" });
    await gone;
    assert.deepEqual(order, [
      ["onKick", "bye"],
      ["close", "bye"],
    ]);
  });

  test("what is too long, and an answer that cannot be read, are errors; the connection stays", async () => {
    const server = await serve("-errors");
    const nano = enter();
    await init(nano, server);
    const errors = [];
    nano.on("error", (err) => errors.push(err.code));
    nano.request("test.echo", { text: "x".repeat(70_000) }, assert.fail);
    nano.notify("test.say", { text: "x".repeat(70_000) });
    const unread = heard(nano, "error");
    nano.request("test.raw", Uint8Array.of(1, 2, 3), assert.fail); // its push cannot be read either
    await unread;
    assert.deepEqual(await new Promise((resolve) => nano.request("test.echo", { text: "hi" }, resolve)), { text: "hi" });
    assert.deepEqual(errors, ["invalid_argument", "invalid_argument", "protocol", "protocol"]);
    // What waited for the connection and turns out to be too long.
    const late = enter();
    const told = [];
    late.on("error", (err) => told.push(err.code));
    const done = init(late, server);
    late.request("test.echo", { text: "x".repeat(70_000) }, assert.fail);
    await done;
    assert.deepEqual(await new Promise((resolve) => late.request("test.echo", { text: "hi" }, resolve)), { text: "hi" });
    assert.deepEqual(told, ["invalid_argument"]);
  });

  test("errors of the handshake, and nobody there", async () => {
    const server = await serve();
    for (const [token, reason] of [
      ["bad", "wrong token"],
      ["old", "too old"],
    ]) {
      const nano = enter();
      const [error, gone] = [heard(nano, "error"), heard(nano, "disconnect")];
      void init(nano, server, { user: { token } });
      assert.equal((await error).message, reason);
      await gone;
    }
    const nano = enter();
    const all = ["io-error", "close", "disconnect"].map((event) => heard(nano, event));
    void init(nano, server, { port: 1 });
    await Promise.all(all);
    const lonely = createNano();
    const told = heard(lonely, "error");
    lonely.notify("a");
    assert.equal((await told).code, "unavailable");
  });

  test("reconnect, if it is asked for: the callback of init is called again", async () => {
    const server = await serve();
    const nano = enter();
    let calls = 0;
    const events = [];
    for (const event of ["disconnect", "reconnect"]) nano.on(event, () => events.push(event));
    const { hostname: host, port } = new URL(server.url);
    await new Promise((resolve) =>
      nano.init({ host, port, path: "nano", reconnect: true }, () => {
        calls++;
        resolve();
      }),
    );
    const [gone, back] = [heard(nano, "disconnect"), heard(nano, "reconnect")];
    await server.kill();
    await gone;
    const answer = new Promise((resolve) => nano.request("test.echo", { text: "kept" }, resolve));
    await serve("-addr", server.host);
    await back;
    assert.deepEqual(await answer, { text: "kept" });
    assert.equal(calls, 2);
    assert.deepEqual(events, ["disconnect", "reconnect"]);
  });

  for (const args of [[], ["-errors"]]) {
    test(`a request that the node refuses is an error event, and no answer: ${args}`, async () => {
      const server = await serve(...args);
      const nano = enter();
      await init(nano, server);
      const got = [];
      nano.on("error", ({ code, message, details }, route) => got.push([code, message, details, route]));
      const answer = ({ text }) => got.push(text);
      const refused = heard(nano, "error");
      nano.request("test.fail", { text: "x" }, answer);
      await refused;
      nano.request("no.such", answer);
      await new Promise((resolve) => nano.request("test.echo", { text: "fine" }, (msg) => resolve(answer(msg))));
      assert.deepEqual(got[0], ["full", "no room for x", { code: "full", error: "no room for x" }, "test.fail"]);
      assert.deepEqual([got[1][0], got[1][3]], ["not_found", "no.such"]);
      assert.deepEqual(got.slice(2), ["fine"]);
    });
  }

  test("a request whose connection cannot be made, or ends, is an error event; one that the page ends is not", async () => {
    const nano = enter();
    const got = [];
    nano.on("error", ({ code, message }, route) => got.push([code, message, route]));
    const answer = () => got.push("an answer");
    void init(nano, { url: "http://127.0.0.1:1" });
    nano.request("test.echo", answer);
    await heard(nano, "disconnect");
    assert.deepEqual(got.splice(0), [["unavailable", "cannot connect", "test.echo"]]);
    nano.request("test.echo", answer);
    assert.deepEqual(got.splice(0), [["unavailable", "not connected", "test.echo"]]);

    const server = await serve();
    await init(nano, server);
    nano.request("test.silent", answer);
    const gone = heard(nano, "disconnect");
    nano.notify("test.close");
    await gone;
    assert.deepEqual(got.splice(0), [["unavailable", "connection lost", "test.silent"]]);

    await init(nano, server);
    const refused = heard(nano, "error");
    nano.request("test.refuse", { reason: "disconnected" }, answer); // what disconnect() ends requests with
    await refused;
    assert.deepEqual(got.splice(0), [["unavailable", "disconnected", "test.refuse"]]);
    nano.request("test.silent", answer);
    const left = heard(nano, "disconnect");
    nano.disconnect();
    await left;
    assert.deepEqual(got, []);
  });

  test("a node that falls silent", async () => {
    const server = await serve("-heartbeat", "1s");
    const nano = enter();
    await init(nano, server);
    const [silent, gone] = [heard(nano, "heartbeat timeout"), heard(nano, "disconnect")];
    server.freeze();
    open.push(() => server.thaw());
    await Promise.all([silent, gone]);
  });
});

