// Checked by tsc, not run: what the types of routes let through, and what not.
import { type Connection, NanoError, type Serializer, connect, createNano, json, nano, starx } from "nano-websocket-client";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const expect = <_T extends true>() => {};

interface Join {
  room: string;
}
interface Joined {
  members: string[];
}

interface Chat {
  requests: {
    "chat.join": [Join, Joined];
    "chat.rooms": [void, string[]];
    "chat.find": [{ name?: string } | undefined, Joined];
  };
  notifies: {
    "chat.typing": { on: boolean };
    "chat.ping": void;
  };
  pushes: {
    "chat.message": { from: string; text: string };
  };
}

const chat = connect<Chat>("/nano", { user: { name: "Ada" }, timeout: 1000, reconnect: { min: 100, afterKick: () => true }, serializer: json });
expect<Equal<typeof chat, Connection<Chat>>>();

const joined = chat.request("chat.join", { room: "lobby" });
expect<Equal<typeof joined, Promise<Joined>>>();
const rooms = chat.request("chat.rooms");
expect<Equal<typeof rooms, Promise<string[]>>>();
chat.request("chat.join", { room: "lobby" }, { timeout: 1, signal: new AbortController().signal });
chat.request("chat.find");
chat.request("chat.find", { name: "a" });
chat.notify("chat.typing", { on: true });
chat.notify("chat.ping");
const off = chat.onPush("chat.message", (message, route) => {
  expect<Equal<typeof message, { from: string; text: string }>>();
  expect<Equal<typeof route, "chat.message">>();
});
expect<Equal<typeof off, () => void>>();

// @ts-expect-error no such route
chat.request("chat.jion", { room: "lobby" });
// @ts-expect-error the request is missing
chat.request("chat.join");
// @ts-expect-error a wrong request
chat.request("chat.join", { rome: "lobby" });
// @ts-expect-error a request is not a notify
chat.notify("chat.join", { room: "lobby" });
// @ts-expect-error the payload is missing
chat.notify("chat.typing");
// @ts-expect-error no such push
chat.onPush("chat.mesage", () => {});
// @ts-expect-error a wrong payload
chat.onPush("chat.message", (message: { text: number }) => {});

chat.on("state", ({ state, reason, error, retryAt }) => {
  expect<Equal<typeof state, "connecting" | "open" | "waiting" | "closed">>();
  expect<Equal<typeof error, NanoError | undefined>>();
  expect<Equal<[typeof reason, typeof retryAt], [string, number]>>();
});
chat.on("error", (err) => expect<Equal<typeof err, NanoError>>());
// @ts-expect-error no such event
chat.on("stat", () => {});
// @ts-expect-error options are checked too
connect<Chat>("/nano", { reconect: true });

// Only some of the routes are declared: the others take anything.
interface Pushes {
  pushes: { tick: number };
}
const some = connect<Pushes>(new URL("ws://localhost/nano"));
some.request("anything", 1).then((reply) => reply.whatever);
some.notify("anything");
some.onPush("tick", (n) => expect<Equal<typeof n, number>>());

// Without types, everything goes.
const any = connect("/nano");
any.request("a.b", { c: 1 }, { timeout: 5 }).then((reply) => reply.d.e);
any.request("a.b");
any.onPush("c", (value) => value.d);

const upper: Serializer = { encode: (value) => new TextEncoder().encode(String(value)), decode: (data, route, kind) => [data.length, route, kind === "push"] };
connect("/nano", { serializer: upper });
connect("/nano", { WebSocket });
connect("/nano", { user: async () => ({ token: "fresh" }) });

nano.init({ host: "127.0.0.1", port: 3250, path: "/nano", user: {}, handshakeCallback: (user) => user.id, encode: () => new Uint8Array(), decode: () => ({ id: 1, body: {} }) }, () => {
  nano.request("room.join", { name: "a" }, (data) => data.members);
  nano.request("room.join", (data) => data.members);
  nano.notify("room.message", { text: "a" });
  nano.on("onMessage", (data) => data.text).once("disconnect", () => {}).off("onMessage");
  nano.disconnect();
});
starx.on("close", () => {});
createNano().listeners("close");
