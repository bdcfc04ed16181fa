// The smallest page that can sign in, read a channel and talk in it.
import { connect } from "./nano-websocket-client.js";

const $ = (id) => document.getElementById(id);
let client;
let me;
let channel = "";

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error.message);
  return value;
}

function show(message) {
  if (message.channel !== channel) return;
  const id = `m${message.n}`;
  const line = $(id) ?? $("messages").appendChild(Object.assign(document.createElement("li"), { id }));
  line.value = message.n;
  line.textContent = message.deleted ? `${message.name} has deleted this` : `${message.name}: ${message.text ?? "a picture"}`;
}

async function open(id) {
  channel = id;
  $("messages").replaceChildren();
  for (const message of (await client.request("im.history", { channel })).messages) show(message);
}

async function enter() {
  client = connect("/nano", { user: { platform: "web" } });
  client.onPush("im.message", show);
  client.on("state", ({ state, reason }) => ($("note").textContent = reason || state));
  const start = await client.request("im.start", {});
  me = start.me;
  $("enter").hidden = true;
  $("talk").hidden = false;
  $("channels").replaceChildren(...start.channels.map((c) => new Option(c.title || c.with?.name, c.id)));
  await open(start.channels[0].id);
  $("note").textContent = `You are ${me.name}.`;
}

$("channels").addEventListener("change", () => open($("channels").value));
$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value;
  $("text").value = "";
  show(await client.request("im.send", { channel, cid: crypto.randomUUID(), text }));
});
$("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await post("/auth/name", { name: $("name").value });
    await enter();
  } catch (err) {
    $("note").textContent = err.message;
  }
});
if ((await (await fetch("/auth/ways")).json()).me) await enter();
