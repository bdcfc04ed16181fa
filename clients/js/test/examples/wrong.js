// @ts-check
// What the check of the chat's page must find. Checked by tsc, not run.
import { Connection } from "./nano-websocket-client.js";

/** @type {Connection<import("../../../../examples/chat/routes.js").Chat>} */
const client = new Connection("/nano");

client.request("chat.join", { room: "lobby" }).then((reply) => reply.members.length);
// @ts-expect-error no such route
client.request("chat.jion", { room: "lobby" });
// @ts-expect-error no such field
client.request("chat.join", { rome: "lobby" });
// @ts-expect-error no such field in the answer
client.request("chat.join", { room: "lobby" }).then((reply) => reply.people);
// @ts-expect-error no such field in the push
client.onPush("chat.message", (message) => message.words);
