// The modern face against a server that the tests play, with a clock of their own.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, mock, test } from "node:test";
import * as nano from "nano-websocket-client";
import { fakeSockets, settle, states, until } from "./helper.js";

const { Connection, Dictionary, NanoError, Packet, Type, encodePacket } = nano;
const json = (value) => Buffer.from(JSON.stringify(value));

let net;
beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  mock.method(Math, "random", () => 1); // waits are the longest that chance allows
  net = fakeSockets(nano);
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

function dial(options = {}, url = "ws://game.example/nano") {
  const connection = new Connection(url, { WebSocket: net.FakeSocket, ...options });
  connection.seen = states(connection);
  connection.open();
  return connection;
}

async function opened(options, sys, more) {
  const connection = dial(options);
  await net.last().open(sys, more);
  assert.equal(connection.state, "open");
  return connection;
}

const fails = (promise, code, message) =>
  assert.rejects(promise, (err) => {
    assert.ok(err instanceof NanoError);
    assert.deepEqual([err.code, ...(message === undefined ? [] : [err.message])], [code, ...(message === undefined ? [] : [message])]);
    return true;
  });

async function later(ms) {
  mock.timers.tick(ms);
  await settle();
}

test("the handshake: who it is, what it understands, and the ack", async () => {
  let token = 0;
  const connection = dial({ user: async () => ({ token: ++token }) });
  const socket = net.last();
  assert.equal(socket.binaryType, "arraybuffer");
  assert.equal(socket.url, "ws://game.example/nano");
  await socket.open({ heartbeat: 3, accepted: ["error"] }, { user: { name: "Ada" } });
  assert.deepEqual(socket.hello, { sys: { type: "js-websocket", version: "0.6.0", accept: ["error", "gzip", "batch", "resume"] }, user: { token: 1 } });
  assert.deepEqual(socket.sent.map(({ type }) => type), [Packet.Handshake, Packet.HandshakeAck]);
  assert.deepEqual(connection.handshake, { code: 200, sys: { heartbeat: 3, accepted: ["error"] }, user: { name: "Ada" } });
  await socket.lose();
  await later(400);
  await net.last().open();
  assert.deepEqual(net.last().hello.user, { token: 2 }, "a fresh token for each attempt");
  assert.deepEqual(connection.seen.map(({ state, again }) => [state, again]), [
    ["connecting", false],
    ["open", false],
    ["waiting", false],
    ["connecting", false],
    ["open", true],
  ]);
});

test("URLs of pages become those of sockets", () => {
  for (const [from, to] of [
    ["http://a.example:81/nano", "ws://a.example:81/nano"],
    ["https://a.example/nano", "wss://a.example/nano"],
    ["wss://a.example/nano", "wss://a.example/nano"],
  ]) {
    dial({}, from);
    assert.equal(net.last().url, to);
  }
  const connection = dial({}, "no URL at all");
  assert.equal(connection.state, "closed");
  assert.equal(connection.seen[0].error.code, "invalid_argument");
});

test("what is sent before the handshake ends waits for it, in order", async () => {
  const connection = dial();
  const reply = connection.request("room.join", { name: "Ada" });
  connection.notify("room.say", "hi");
  const socket = net.last();
  socket.onopen();
  await settle();
  assert.equal(socket.messages().length, 0);
  await socket.receive(encodePacket(Packet.Handshake, json({ code: 200, sys: { dict: { "room.say": 7 } } })));
  const [first, second] = socket.messages(new Dictionary({ "room.say": 7 }));
  assert.deepEqual([first.type, first.route, first.id, `${Buffer.from(first.data)}`], [Type.Request, "room.join", 1, '{"name":"Ada"}']);
  assert.deepEqual([second.type, second.route, `${Buffer.from(second.data)}`], [Type.Notify, "room.say", '"hi"']);
  assert.equal(socket.sent.at(-1).body[0] & 1, 1, "the dictionary of the handshake is used");
  await socket.receive(socket.message({ type: Type.Response, id: 1, data: { ok: true } }));
  assert.deepEqual(await reply, { ok: true });
});

test("what is sent while the state turns open goes before what waited", async () => {
  const connection = dial();
  connection.notify("waited");
  connection.on("state", ({ state }) => state === "open" && connection.notify("first"));
  await net.last().open();
  assert.deepEqual(net.last().messages().map(({ route }) => route), ["first", "waited"]);
});

test("the queue has a bound, and what cannot be sent is told at once", async () => {
  const connection = dial({ queue: 2 });
  connection.notify("a");
  const waiting = connection.request("b");
  assert.throws(() => connection.notify("c"), { code: "resource_exhausted" });
  await fails(connection.request("c"), "resource_exhausted");
  await fails(connection.request("r".repeat(300)), "resource_exhausted");
  connection.close();
  await fails(waiting, "unavailable", "closed");
  await fails(connection.request("d"), "unavailable", "not connected");
  assert.throws(() => connection.notify("d"), { code: "unavailable" });
  const none = dial({ queue: 0 });
  await fails(none.request("a"), "unavailable", "not connected");
  const long = dial();
  await fails(long.request("r".repeat(300)), "invalid_argument");
  await fails(long.request("a", 1n), "invalid_argument");
  await net.last().open();
  await fails(long.request("r".repeat(300)), "invalid_argument");
  assert.equal(net.last().messages().length, 0);
});

test("what is too long for the server fails at the call, and is never sent", async () => {
  // Sent, it would end the connection, and with it the requests of everybody else.
  const big = (n) => new Uint8Array(n);
  for (const [options, sys, limit] of [
    [{}, {}, 65536],
    [{}, { maxPacket: 0 }, 65536],
    [{}, { maxPacket: 1000 }, 1000],
    [{}, { maxPacket: 200_000 }, 200_000],
    [{ maxPacket: 500 }, { maxPacket: 1000 }, 500],
  ]) {
    const connection = await opened(options, sys);
    const socket = net.last();
    connection.notify("a", big(limit - 3));
    assert.throws(() => connection.notify("a", big(limit - 2)), { code: "invalid_argument", message: `packet too long: ${limit + 1} bytes of at most ${limit}` });
    await fails(connection.request("a", big(limit - 3)), "invalid_argument");
    assert.deepEqual(socket.messages().map(({ data }) => data.length), [limit - 3]);
    assert.equal(connection.state, "open");
    await socket.lose();
    assert.throws(() => connection.notify("a", big(limit - 2)), { code: "invalid_argument" }, "known from the connection before");
    connection.close();
  }
  // Before the first handshake only the server knows its limit.
  const early = dial();
  const errors = [];
  early.on("error", (err) => errors.push(err.code));
  const [fine, long] = [early.request("a", big(70_000)), fails(early.request("a", big(100_000)), "invalid_argument")];
  early.notify("a", big(100_000));
  await net.last().open({ maxPacket: 80_000 });
  await long;
  assert.deepEqual(errors, ["invalid_argument"]);
  assert.equal(net.last().messages().length, 1);
  await net.last().receive(net.last().message({ type: Type.Response, id: 1, data: 1 }));
  assert.equal(await fine, 1);
  // The handshake itself.
  const hello = dial({ user: "x".repeat(66_000), reconnect: false });
  net.last().onopen();
  await settle();
  assert.equal(hello.seen.at(-1).error.code, "invalid_argument");
  assert.equal(net.last().sent.length, 0);
});

test("timeouts and signals end a request, and take it out of the queue", async () => {
  const connection = dial({ timeout: 1000 });
  const slow = fails(connection.request("slow"), "unavailable", "no connection in time");
  const slower = connection.request("slower", {}, { timeout: 5000 });
  const abort = new AbortController();
  const aborted = connection.request("aborted", {}, { signal: abort.signal });
  abort.abort(new Error("changed my mind"));
  await assert.rejects(aborted, (err) => err.code === "canceled" && err.details.message === "changed my mind");
  await fails(connection.request("never", {}, { signal: abort.signal }), "canceled");
  await later(1000);
  await slow;
  const socket = net.last();
  await socket.open();
  assert.deepEqual(socket.messages().map(({ route }) => route), ["slower"]);
  const endless = connection.request("endless", {}, { timeout: 0 });
  await later(3999);
  await socket.receive(socket.message({ type: Type.Response, id: 2, data: "late but fine" }));
  assert.equal(await slower, "late but fine");
  await later(3_600_000);
  await socket.receive(socket.message({ type: Type.Response, id: 1, data: {} })); // nobody waits for it
  const [, { id }] = socket.messages();
  await socket.receive(socket.message({ type: Type.Response, id, data: 1 }));
  assert.equal(await endless, 1);
});

test("errors of the server reach the caller with their code", async () => {
  const connection = await opened();
  const socket = net.last();
  const details = { code: "full", error: "no room", seats: 4 };
  const refused = assert.rejects(connection.request("a"), { name: "NanoError", code: "full", message: "no room", details });
  const strange = assert.rejects(connection.request("b"), (err) => err.code === "internal" && err.details[1] === 2);
  const nonsense = fails(connection.request("c"), "protocol");
  await socket.receive(
    socket.message({ type: Type.Response, id: 1, error: true, data: details }),
    socket.message({ type: Type.Response, id: 2, error: true, data: Buffer.from([1, 2]) }),
    socket.message({ type: Type.Response, id: 3, data: Buffer.from("{") }),
  );
  await Promise.all([refused, strange, nonsense]);
});

test("requests under way fail when the connection is lost; those that wait go with the next", async () => {
  const connection = await opened();
  const lost = fails(connection.request("lost"), "unavailable");
  await net.last().lose();
  await lost;
  const kept = connection.request("kept");
  await later(400);
  await net.last().open();
  const socket = net.last();
  assert.deepEqual(socket.messages().map(({ route }) => route), ["kept"]);
  await socket.receive(socket.message({ type: Type.Response, id: socket.messages()[0].id, data: 1 }));
  assert.equal(await kept, 1);
});

const resuming = (resume) => ({ accepted: ["error", "resume"], resume: { window: 30, ...resume } });

/** The packets that a socket was sent after the handshake, in short. */
const after = (socket) =>
  socket.sent.slice(2).map(({ type, body }) => (type === Packet.Heartbeat ? `beat ${[...body]}` : nano.decodeMessage(body, new Dictionary({ short: 7 })).route));

test("a session goes on with the next connection: what the server lacks is sent again, and requests resolve", async () => {
  const connection = await opened({}, resuming({ token: "one" }));
  const events = [];
  for (const event of ["suspended", "resumed", "lost"]) connection.on(event, () => events.push(event));
  const pushes = [];
  connection.onPush("n", (n) => pushes.push(n));
  const first = net.last();
  assert.equal(first.hello.sys.resume, undefined);
  const answers = ["a", "b", "c"].map((route) => connection.request(route));
  connection.notify("d");
  await first.receive(first.message({ type: Type.Response, id: 1, data: "A" }), first.message({ type: Type.Push, route: "n", data: 1 }));
  await first.receive(encodePacket(Packet.Heartbeat, new Uint8Array([1])));
  assert.deepEqual(after(first), ["a", "b", "c", "d", "beat 2"]);
  await first.lose();
  connection.notify("e");
  answers.push(connection.request("f"));
  await later(400);
  await net.last().lose(); // in the middle of the handshake
  await later(800);
  const second = net.last();
  await second.open(resuming({ token: "two", resumed: true, received: 2 }));
  assert.deepEqual(second.hello.sys.resume, { token: "one", received: 2, gap: true });
  assert.deepEqual(after(second), ["c", "d", "e", "f"]);
  await second.receive(
    ...[2, 3, 5].map((id) => second.message({ type: Type.Response, id: id === 5 ? 4 : id, data: id })),
    second.message({ type: Type.Push, route: "n", data: 2 }),
  );
  assert.deepEqual(await Promise.all(answers), ["A", 2, 3, 5]);
  assert.deepEqual(pushes, [1, 2]);
  assert.deepEqual(events, ["suspended", "resumed"]);
  const open = connection.seen.filter(({ state }) => state === "open");
  assert.deepEqual(open.map(({ again, resumed }) => [again, resumed]), [[false, false], [false, true]]);
  connection.close();
  assert.equal(second.code, 1000, "a goodbye");
});

test("a server that is drained is left for the next one, after a moment, and nothing is lost", async () => {
  const connection = dial({}, ["ws://one.example/nano", new URL("ws://two.example/nano")]);
  await net.last().open(resuming({ token: "one" }));
  const first = net.last();
  connection.onPush("nano.drain", () => assert.fail("the application hears of it"));
  const suspended = [];
  connection.on("suspended", ({ reason }) => suspended.push(reason));
  const answers = [connection.request("a")];
  const drain = first.message({ type: Type.Push, route: "nano.drain", data: {} });
  await first.receive(drain, drain);
  answers.push(connection.request("b"));
  await later(499);
  assert.deepEqual([net.sockets.length, connection.state], [1, "open"], "it serves until then");
  await later(1);
  assert.deepEqual([first.closed, first.code], [true, undefined], "no goodbye");
  await later(0);
  const refusing = net.last();
  assert.equal(refusing.url, "ws://two.example/nano");
  await refusing.lose({ type: "close", code: 1013, reason: "" }); // it takes nobody either
  await later(400);
  const second = net.last();
  assert.equal(second.url, "ws://one.example/nano");
  await second.open(resuming({ token: "two", resumed: true, received: 1 }));
  assert.deepEqual(second.hello.sys.resume, { token: "one", received: 2, gap: true });
  assert.deepEqual(after(second), ["b"]);
  await second.receive(...[1, 2].map((id) => second.message({ type: Type.Response, id, data: id })));
  assert.deepEqual([await Promise.all(answers), suspended], [[1, 2], ["the server is drained"]]);
  assert.equal(connection.seen.at(-1).resumed, true);
  connection.close();
});

test("a push of that name means nothing where no session goes on, nor to a connection that is not to come back", async () => {
  const plain = await opened();
  const heard = [];
  plain.onPush("nano.drain", (value) => heard.push(value));
  await net.last().receive(net.last().message({ type: Type.Push, route: "nano.drain", data: 1 }));
  assert.deepEqual(heard, [1]);
  const once = await opened({ reconnect: false }, resuming({ token: "one" }));
  await net.last().receive(net.last().message({ type: Type.Push, route: "nano.drain", data: {} }));
  await later(1000);
  assert.equal(once.state, "open");
});

test("what the application said in the first answer of a session stays where that goes on", async () => {
  const connection = await opened({}, { ...resuming({ token: "one" }), own: 1, heartbeat: 5 });
  connection.handshake.user = { name: "Ada" };
  await net.last().lose();
  await later(400);
  await net.last().open({ ...resuming({ token: "two", resumed: true, received: 0 }), heartbeat: 7 });
  const { sys, user } = connection.handshake;
  assert.deepEqual([sys.own, sys.heartbeat, sys.resume.token, user], [1, 7, "two", { name: "Ada" }]);
  await net.last().lose();
  await later(1000);
  await net.last().open(resuming({ token: "three", resumed: false, reason: "expired" }));
  assert.deepEqual([connection.handshake.sys.own, connection.handshake.user], [undefined, undefined]);
  connection.close();
});

test("a session that is lost says so, and fails what was under way", async () => {
  const connection = await opened({}, resuming({ token: "one" }));
  const lost = [];
  connection.on("lost", ({ reason }) => lost.push(reason));
  const failed = fails(connection.request("a"), "unavailable", "session lost: expired");
  await net.last().lose();
  assert.equal(net.last().code, undefined, "no goodbye");
  const kept = connection.request("b");
  await later(400);
  await net.last().open(resuming({ token: "two", resumed: false, reason: "expired" }));
  await failed;
  assert.deepEqual([lost, after(net.last())], [["expired"], ["b"]]);
  await net.last().receive(net.last().message({ type: Type.Response, id: 2, data: 1 }));
  assert.equal(await kept, 1);
  assert.equal(connection.seen.at(-1).again, true);
  // A server that does not know of it any more.
  await net.last().lose();
  await later(800);
  await net.last().open();
  assert.deepEqual(net.last().hello.sys.resume, { token: "two", received: 1, gap: true });
  assert.deepEqual(lost, ["expired", "unknown"]);
});

// A connection with a request and a push behind it that was lost, and the next one, whose server
// says that messages are gone.
async function afterGap(resume) {
  const connection = await opened({}, resuming({ token: "one" }));
  const told = [];
  for (const event of ["lost", "resumed"]) connection.on(event, (detail) => told.push([event, detail]));
  const first = net.last();
  const under = connection.request("a");
  under.catch(() => {});
  await first.receive(first.message({ type: Type.Push, route: "n", data: 1 }));
  await first.lose();
  const waits = connection.request("b");
  await later(400);
  await net.last().open(resuming({ token: "two", resumed: true, gap: true, ...resume }));
  assert.deepEqual(net.last().hello.sys.resume, { token: "one", received: 1, gap: true });
  assert.deepEqual(told, [["resumed", { gap: true }]]);
  const { again, resumed, gap } = connection.seen.at(-1);
  assert.deepEqual([again, resumed, gap], [false, true, true]);
  return { connection, under, waits, socket: net.last() };
}

test("a server that took over from one that has died: what was under way fails, and counts begin anew", async () => {
  const { connection, under, waits, socket } = await afterGap({});
  await fails(under, "unavailable", "the server has died");
  assert.deepEqual(after(socket), ["b"], "nothing is sent again, and what waited is sent");
  await socket.receive(socket.message({ type: Type.Response, id: 2, data: 1 }), encodePacket(Packet.Heartbeat, new Uint8Array([0])));
  assert.equal(await waits, 1);
  assert.deepEqual(after(socket), ["b", "beat 1"]);
  await socket.lose();
  await later(800);
  await net.last().open(resuming({ token: "three", resumed: true, received: 0 }));
  assert.deepEqual(net.last().hello.sys.resume, { token: "two", received: 1, gap: true });
  assert.deepEqual(after(net.last()), ["b"], "of this server's count");
  assert.equal(connection.seen.at(-1).gap, false, "a gap is told once");
  connection.close();
});

test("where only pushes may be lost, requests go on across the gap", async () => {
  const { connection, under, waits, socket } = await afterGap({ received: 0 });
  assert.deepEqual(after(socket), ["a", "b"]);
  await socket.receive(...[1, 2].map((id) => socket.message({ type: Type.Response, id, data: id })));
  assert.deepEqual(await Promise.all([under, waits]), [1, 2]);
  connection.close();
});

test("kicked, there is no session to come back to", async () => {
  const connection = await opened({}, resuming({ token: "one" }));
  const failed = fails(connection.request("a"), "unavailable");
  await net.last().receive(encodePacket(Packet.Kick, json({ reason: "slow consumer" })));
  await failed;
  await later(400);
  await net.last().open(resuming({ token: "two" }));
  assert.equal(net.last().hello.sys.resume, undefined);
  connection.close();
});

test("the server is told what came, and what is kept has a bound", async () => {
  const connection = await opened({}, resuming({ token: "one" }));
  const socket = net.last();
  const push = socket.message({ type: Type.Push, route: "n", data: new Uint8Array(1000) });
  for (let i = 0; i < 40; i++) await socket.receive(push);
  assert.deepEqual(after(socket), ["beat 16", "beat 32"]);
  connection.onPush("n", () => {});
  for (let i = 0; i < 40; i++) connection.notify("x", new Uint8Array(40_000), { serializer: nano.bytes });
  await socket.lose();
  await later(400);
  await net.last().open(resuming({ token: "two" }));
  assert.equal(net.last().hello.sys.resume, undefined, "too much was kept to go on");
});

test("routes are sent again with the dictionary of the server that goes on", async () => {
  const connection = await opened({}, { ...resuming({ token: "one" }), dict: { short: 7 } });
  connection.notify("short");
  await net.last().lose();
  await later(400);
  await net.last().open({ ...resuming({ token: "two", resumed: true, received: 0 }), dict: { short: 9 } });
  assert.deepEqual(net.last().messages(new Dictionary({ short: 9 })).map(({ route }) => route), ["short"]);
  connection.close();
});

test("without a server, a request fails at once with the cause, and what it interrupts waits for its return", async () => {
  for (const reconnect of [true, false, { attempts: 3 }]) {
    const connection = dial({ reconnect });
    const reply = fails(connection.request("a"), "unavailable", "wrong port");
    await net.last().lose({ type: "close", code: 1006, reason: "wrong port" });
    await reply;
    connection.close();
  }
  const silent = dial({ handshakeTimeout: 1000 });
  const reply = fails(silent.request("a", {}, { timeout: 0 }), "unavailable", "no answer from the server");
  await later(1000);
  await reply;
  silent.close();
});

for (const [name, first, next] of [
  ["", undefined, undefined],
  [", one that was sent too where the session waits", resuming({ token: "one" }), resuming({ token: "two", resumed: true, received: 1 })],
]) {
  test(`a request that waits for the connection to come back ends with what keeps it away${name}`, async () => {
    const connection = await opened({ reconnect: { min: 100, max: 100 } }, first);
    const sent = first && fails(connection.request("sent", {}, { timeout: 250 }), "unavailable", "cannot connect");
    await net.last().lose();
    const kept = connection.request("kept", {}, { timeout: 5000 });
    const given = fails(connection.request("given up", {}, { timeout: 250 }), "unavailable", "cannot connect");
    await later(100);
    await net.last().lose();
    await later(100);
    await net.last().lose();
    await later(50);
    await Promise.all([sent, given]);
    await later(50);
    await net.last().open(next);
    const socket = net.last();
    assert.deepEqual(socket.messages().map(({ route }) => route), ["kept"]);
    const slow = fails(connection.request("slow", {}, { timeout: 100 }), "deadline_exceeded"); // the connection is open
    await socket.receive(socket.message({ type: Type.Response, id: socket.messages()[0].id, data: 1 }));
    assert.equal(await kept, 1);
    await later(100);
    await slow;
  });
}

test("a request does not end with what kept the connection away before", async () => {
  const connection = await opened();
  await net.last().lose({ type: "close", code: 1006, reason: "restart" });
  await later(400);
  await net.last().open(resuming({ token: "one" }));
  await net.last().lose({ type: "close", code: 1006, reason: "no network" });
  const given = fails(connection.request("a", {}, { timeout: 100 }), "unavailable", "no network");
  await later(100);
  await given;
  connection.close("enough");
  connection.open();
  const waits = fails(connection.request("b", {}, { timeout: 100 }), "unavailable", "no connection in time");
  await later(100);
  await waits;
  connection.close();
});

test("notifies that waited for a connection that never comes are told of, each", async () => {
  for (const end of [
    async (connection) => connection.close(),
    async () => net.last().lose({ type: "close", code: 1006, reason: "wrong port" }),
  ]) {
    const connection = dial({ reconnect: false });
    const errors = [];
    connection.on("error", (err) => errors.push(err));
    connection.notify("a");
    connection.notify("b");
    const request = fails(connection.request("c"), "unavailable");
    await end(connection);
    await request;
    await settle();
    assert.deepEqual(errors.map(({ code }) => code), ["unavailable", "unavailable"]);
    assert.equal(connection.state, "closed");
  }
});

test("a request that waited for the first connection was never sent, and says so", async () => {
  const connection = dial();
  const given = fails(connection.request("given up", {}, { timeout: 250 }), "unavailable", "no connection in time");
  const kept = connection.request("kept", {}, { timeout: 5000 });
  await later(250);
  await given;
  await net.last().open();
  const socket = net.last();
  assert.deepEqual(socket.messages().map(({ route }) => route), ["kept"]);
  await socket.receive(socket.message({ type: Type.Response, id: socket.messages()[0].id, data: 1 }));
  assert.equal(await kept, 1);
});

test("it comes back with growing waits, up to the limits", async () => {
  const connection = dial({ reconnect: { min: 100, max: 500, attempts: 4, steadyAfter: 1000 } });
  const waits = [];
  for (let i = 0; i < 4; i++) {
    await net.last().lose();
    assert.equal(connection.state, "waiting");
    const { retryAt } = connection.seen.at(-1);
    waits.push(retryAt - Date.now());
    await later(waits[i] - 1);
    assert.equal(connection.state, "waiting");
    await later(1);
    assert.equal(connection.state, "connecting");
  }
  assert.deepEqual(waits, [100, 200, 400, 500]);
  const hopeless = fails(connection.request("a"), "unavailable", "cannot connect");
  await net.last().lose();
  assert.equal(connection.state, "closed");
  await hopeless;
  assert.equal(net.sockets.length, 5);

  connection.open(); // and it can be opened again
  await net.last().open();
  await net.last().lose();
  assert.equal(connection.seen.at(-1).retryAt - Date.now(), 100);
  await later(100);
  await net.last().open();
  await net.last().lose(); // it did not last
  assert.equal(connection.seen.at(-1).retryAt - Date.now(), 200);
  await later(200);
  await net.last().open();
  await later(1000);
  await net.last().lose(); // this one did
  assert.equal(connection.seen.at(-1).retryAt - Date.now(), 100);
  connection.open(); // ends the wait
  assert.equal(connection.state, "connecting");
});

test("chance spreads those whom a restart threw out", async () => {
  Math.random.mock.mockImplementation(() => 0);
  const connection = dial({ reconnect: { min: 100 } });
  await net.last().lose();
  assert.equal(connection.seen.at(-1).retryAt - Date.now(), 50);
});

test("without reconnection a loss is the end", async () => {
  const connection = await opened({ reconnect: false });
  const closing = { type: "close", code: 1001, reason: "going" };
  await net.last().lose(closing);
  const { state, reason, error } = connection.seen.at(-1);
  assert.deepEqual([state, reason, error.details], ["closed", "going", closing]);
  await later(60_000);
  assert.equal(net.sockets.length, 1);
});

test("a handshake that does not end is given up", async () => {
  const connection = dial({ handshakeTimeout: 3000 });
  net.last().onopen();
  await later(3000);
  assert.equal(connection.state, "waiting");
  assert.ok(net.sockets[0].closed);
  const failing = dial({ user: () => Promise.reject(new Error("no token")), reconnect: false });
  net.last().onopen();
  await settle();
  assert.deepEqual([failing.seen.at(-1).reason, failing.seen.at(-1).error.code], ["no token", "unavailable"]);
});

test("kicks: it comes back after the server's own reasons, not after the application's", async () => {
  for (const [reason, state] of [
    ["server shutdown", "waiting"],
    ["slow consumer", "waiting"],
    ["signed in elsewhere", "closed"],
    ["", "closed"],
  ]) {
    const connection = await opened();
    await net.last().receive(encodePacket(Packet.Kick, reason ? json({ reason, by: 7 }) : Buffer.alloc(0)));
    assert.equal(connection.state, state, reason);
    assert.equal(connection.seen.at(-1).error.code, "kicked");
    assert.equal(connection.seen.at(-1).error.message, reason);
    if (reason) assert.equal(connection.seen.at(-1).error.details.by, 7);
    connection.close();
  }
  const stubborn = await opened({ reconnect: { afterKick: (reason) => reason === "nap" } });
  await net.last().receive(encodePacket(Packet.Kick, json({ reason: "nap" })));
  assert.equal(stubborn.state, "waiting");
});

test("a refused handshake is the end, and says why", async () => {
  const connection = dial();
  const waiting = fails(connection.request("a"), "refused", "banned");
  const ready = fails(connection.ready(), "refused", "banned");
  net.last().onopen();
  await settle();
  await net.last().receive(encodePacket(Packet.Handshake, json({ code: 403, reason: "banned" })));
  assert.equal(connection.state, "closed");
  assert.deepEqual(connection.seen.at(-1).error.details, { code: 403, reason: "banned", sys: {} });
  await Promise.all([waiting, ready]);
});

test("a refusal is the end on return too, whatever its code: it must not hammer the server with a bad token", async () => {
  for (const code of [401, 500, 501]) {
    const connection = await opened();
    await net.last().lose();
    await later(400);
    net.last().onopen();
    await settle();
    await net.last().receive(encodePacket(Packet.Handshake, json({ code })));
    assert.equal(connection.state, "closed");
    const made = net.sockets.length;
    await later(3_600_000);
    assert.equal(net.sockets.length, made);
  }
});

test("who is refused for now, with 503, comes again", async () => {
  const connection = await opened();
  for (let i = 0; i < 3; i++) {
    await net.last().lose();
    await later(3_600_000);
    net.last().onopen();
    await settle();
    await net.last().receive(encodePacket(Packet.Handshake, json({ code: 503, reason: "the database is away" })));
    assert.equal(connection.state, "waiting");
    assert.equal(connection.seen.at(-1).error.message, "the database is away");
  }
  connection.close();
});

test("heartbeats are answered, silence is noticed", async () => {
  const connection = await opened({ reconnect: false }, { heartbeat: 2 });
  const socket = net.last();
  for (let i = 0; i < 5; i++) {
    await later(4900);
    await socket.receive(encodePacket(Packet.Heartbeat));
    assert.equal(socket.sent.at(-1).type, Packet.Heartbeat);
  }
  assert.equal(socket.sent.filter(({ type }) => type === Packet.Heartbeat).length, 5);
  await later(4900);
  await socket.receive(socket.message({ type: Type.Push, route: "any", data: {} })); // anything is a sign of life
  await later(4900);
  assert.equal(connection.state, "open");
  await later(101);
  assert.equal(connection.state, "closed");
  assert.equal(connection.seen.at(-1).reason, "the server is silent");
});

test("a hidden tab whose timers are late does not leave a server that is there", async () => {
  const connection = await opened({ reconnect: false }, { heartbeat: 2 });
  const socket = net.last();
  // The clock goes on, but no timer fires, and nothing that arrived is handled: the tab is frozen.
  const now = Date.now();
  mock.method(Date, "now", () => now + 60_000);
  await later(5000);
  assert.equal(connection.state, "open", "one more look");
  await socket.receive(encodePacket(Packet.Heartbeat)); // what had arrived meanwhile
  await later(2000);
  assert.equal(connection.state, "open");
  // The next time nothing has arrived: the server is gone, however late the timers are.
  Date.now.mock.mockImplementation(() => now + 200_000);
  await later(5000);
  assert.equal(connection.state, "open", "one more look");
  Date.now.mock.mockImplementation(() => now + 300_000);
  await later(2000);
  assert.equal(connection.state, "closed");
});

test("an interval longer than any timer keeps nobody busy", async () => {
  const timers = mock.method(globalThis, "setTimeout");
  const connection = await opened({}, { heartbeat: 1e9 });
  const before = timers.mock.callCount();
  await later(60_000);
  assert.equal(timers.mock.callCount(), before);
  assert.ok(timers.mock.calls.every(({ arguments: [, ms] }) => ms < 2 ** 31));
  connection.close();
});

test("gzip is asked for only where it can be unpacked", async () => {
  const { DecompressionStream } = globalThis;
  delete globalThis.DecompressionStream;
  try {
    const connection = await opened();
    assert.deepEqual(net.last().hello.sys.accept, ["error", "batch", "resume"]);
    connection.close();
  } finally {
    globalThis.DecompressionStream = DecompressionStream;
  }
});

test("a dictionary with a version is kept, and asked for by its version", async () => {
  const dict = { "room.say": 7 };
  const connection = await opened({}, { dict, dictVersion: "v1" });
  assert.equal(net.last().hello.sys.dictVersion, undefined);
  assert.deepEqual(connection.dictionary, { version: "v1", routes: dict });
  await net.last().lose();
  await later(400);
  await net.last().open({ dictVersion: "v1" }); // the server need not send it again
  assert.equal(net.last().hello.sys.dictVersion, "v1");
  connection.notify("room.say");
  assert.equal(net.last().sent.at(-1).body[0], 3);
  await net.last().lose();
  await later(800);
  await net.last().open({ dict: { "room.say": 8 }, dictVersion: "v2" });
  connection.notify("room.say");
  assert.deepEqual([...net.last().sent.at(-1).body.subarray(0, 3)], [3, 0, 8]);
  await net.last().lose();
  await later(1600);
  await net.last().open({}); // a server without one
  connection.notify("room.say");
  assert.equal(net.last().sent.at(-1).body[0], 2);
  assert.equal(connection.dictionary, undefined);

  const next = await opened({ dictionary: { version: 3, routes: dict } }, { dictVersion: 3 });
  assert.equal(net.last().hello.sys.dictVersion, 3);
  next.notify("room.say");
  assert.equal(net.last().sent.at(-1).body[0], 3);
});

test("packed payloads are unpacked, and nothing overtakes them, not even the end", async () => {
  const connection = await opened({ reconnect: false });
  const socket = net.last();
  const got = [];
  connection.onPush("tick", (value) => got.push(value));
  connection.on("state", ({ state }) => got.push(state));
  const answer = connection.request("a");
  void socket.receive(
    socket.message({ type: Type.Push, route: "tick", data: gzipSync(json("x".repeat(5000))), gzip: true }),
    socket.message({ type: Type.Push, route: "tick", data: json(2) }),
    socket.message({ type: Type.Response, id: 1, data: gzipSync(json("packed")), gzip: true }),
    encodePacket(Packet.Kick),
  );
  socket.onclose({ reason: "" });
  await until(connection, "closed");
  assert.deepEqual(got, ["x".repeat(5000), 2, "closed"]);
  assert.equal(await answer, "packed");
});

test("what is packed wrongly, or cannot be read, is told and harms nothing else", async () => {
  const connection = await opened();
  const socket = net.last();
  const errors = [];
  const got = [];
  const told = new Promise((resolve) => connection.on("error", (err) => errors.push(err.code) === 4 && resolve()));
  connection.onPush("tick", (value) => got.push(value));
  void socket.receive(
    socket.message({ type: Type.Push, route: "tick", data: Buffer.from("no gzip"), gzip: true }),
    encodePacket(Packet.Data, Buffer.from([0x08])),
    encodePacket(Packet.Data, Buffer.from([0x07, 0, 9])),
    socket.message({ type: Type.Push, route: "tick", data: Buffer.from("{") }),
    socket.message({ type: Type.Push, route: "tick", data: json(1) }),
  );
  await told;
  await settle();
  assert.deepEqual(errors, ["protocol", "protocol", "protocol", "protocol"]);
  assert.deepEqual(got, [1]);
  await socket.receive(Buffer.from([9, 0, 0, 0])); // but from here on nothing can be read
  assert.equal(connection.state, "waiting");
  assert.equal(connection.seen.at(-1).error.code, "protocol");
});

test("an answer that cannot be read ends its request, which may have no timeout", async () => {
  const connection = await opened({ timeout: 0 });
  const socket = net.last();
  const errors = [];
  connection.on("error", (err) => errors.push(err));
  const [packed, unreadable, fine] = [fails(connection.request("a"), "protocol"), fails(connection.request("b"), "protocol"), connection.request("c")];
  void socket.receive(
    socket.message({ type: Type.Response, id: 1, data: Buffer.from("no gzip"), gzip: true }),
    socket.message({ type: Type.Response, id: 2, data: gzipSync("{"), gzip: true }),
    socket.message({ type: Type.Response, id: 3, data: gzipSync("3"), gzip: true }),
  );
  await Promise.all([packed, unreadable]);
  assert.equal(await fine, 3);
  assert.deepEqual(errors, [], "the callers were told");
});

test("an error that nobody listens to is reported, a handler's own too", async () => {
  const reported = mock.method(console, "error", () => {});
  const connection = await opened();
  const socket = net.last();
  const got = [];
  connection.onPush("tick", () => {
    throw new Error("oops");
  });
  connection.onPush("tick", (value) => got.push(value));
  await socket.receive(encodePacket(Packet.Data, Buffer.from([0x08])), socket.message({ type: Type.Push, route: "tick", data: json(1) }));
  assert.deepEqual(reported.mock.calls.map(({ arguments: [err] }) => err.message), ["unknown type 4 of a message", "oops"]);
  assert.deepEqual(got, [1]);
  assert.equal(connection.state, "open");
});

test("whoever awaits an answer hears of pushes that came right after it", async () => {
  const connection = await opened();
  const socket = net.last();
  const got = [];
  const join = (async () => {
    await connection.request("join");
    connection.onPush("tick", (value) => got.push(value));
  })();
  await socket.receive(
    socket.message({ type: Type.Response, id: 1, data: {} }),
    socket.message({ type: Type.Push, route: "tick", data: json(1) }),
    socket.message({ type: Type.Push, route: "tick", data: json(2) }),
  );
  await join;
  assert.deepEqual(got, [1, 2]);
});

test("handlers can be taken back, by themselves too", async () => {
  const connection = await opened();
  const socket = net.last();
  const got = [];
  const off = connection.onPush("tick", () => {
    got.push("a");
    off();
    offC();
  });
  connection.onPush("tick", (value, route) => got.push(`b ${route} ${value}`));
  const offC = connection.onPush("tick", () => got.push("c"));
  connection.onPush("tick", () => got.push("once"), { once: true });
  for (let i = 0; i < 2; i++) await socket.receive(socket.message({ type: Type.Push, route: "tick", data: json(i) }));
  assert.deepEqual(got, ["a", "b tick 0", "once", "b tick 1"]);
});

test("text frames are read like binary ones", async () => {
  const connection = await opened();
  const got = [];
  connection.onPush("tick", (value) => got.push(value));
  const socket = net.last();
  socket.onmessage({ data: Buffer.from(socket.message({ type: Type.Push, route: "tick", data: json("é") })).toString() });
  await settle();
  assert.deepEqual(got, ["é"]);
});

test("payloads: bytes as they are, nothing, and a serializer for one call", async () => {
  const connection = await opened();
  const socket = net.last();
  const shout = { encode: (value) => Buffer.from(value.toUpperCase()), decode: (data, route, kind) => `${kind} ${route} ${Buffer.from(data)}!` };
  connection.notify("a", Uint8Array.of(1, 2));
  connection.notify("a", Uint16Array.of(0x0101, 0x0202).subarray(1));
  connection.notify("a", Uint8Array.of(3).buffer);
  connection.notify("a");
  connection.notify("a", "hey", { serializer: shout });
  assert.deepEqual(socket.messages().map(({ data }) => Buffer.from(data).toString("latin1")), ["\x01\x02", "\x02\x02", "\x03", "{}", "HEY"]);
  const answers = [connection.request("b", "x", { serializer: shout }), connection.request("b", undefined, { serializer: nano.bytes }), connection.request("b")];
  await socket.receive(...[1, 2, 3].map((id) => socket.message({ type: Type.Response, id, data: id === 3 ? undefined : Buffer.from("ok") })));
  assert.equal(await answers[0], "response b ok!");
  assert.deepEqual(Buffer.from(await answers[1]).toString(), "ok");
  assert.equal(await answers[2], undefined);
  await fails(connection.request("b", "text", { serializer: nano.bytes }), "invalid_argument");
});

test("closing ends everything and leaves nothing behind", async () => {
  const connection = await opened();
  const socket = net.last();
  const [a, ready] = [connection.request("a"), connection.ready()];
  connection.close("bye");
  await fails(a, "unavailable", "bye");
  await ready;
  await fails(connection.ready(), "unavailable");
  assert.ok(socket.closed);
  assert.deepEqual([socket.onopen, socket.onmessage, socket.onclose], [null, null, null]);
  connection.close();
  await later(100_000);
  assert.equal(net.sockets.length, 1);
  assert.deepEqual(connection.seen.map(({ state }) => state), ["connecting", "open", "closed"]);

  const waiting = dial();
  await net.last().lose();
  waiting.close();
  await later(100_000);
  assert.equal(waiting.state, "closed");
  assert.equal(net.sockets.length, 2);
});

test("the network's return ends a wait", async () => {
  const events = new EventTarget();
  for (const name of ["addEventListener", "removeEventListener"]) globalThis[name] = events[name].bind(events);
  try {
    const connection = await opened();
    await net.last().lose();
    events.dispatchEvent(new Event("online"));
    assert.equal(connection.state, "connecting");
    await net.last().open();
    events.dispatchEvent(new Event("online"));
    assert.equal(net.sockets.length, 2);
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
});

test("a socket that cannot be made is an error, not a crash", () => {
  const connection = dial({
    WebSocket: class {
      constructor() {
        throw new SyntaxError("not here");
      }
    },
  });
  assert.equal(connection.seen.at(-1).reason, "not here");
});
