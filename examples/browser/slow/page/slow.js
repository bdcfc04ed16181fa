// A client, for the console's test: the test calls it from outside.
import { connect } from "./nano-websocket-client.js";

const client = connect("/nano");
client.on("state", ({ state, reason, error }) => {
  if (state === "closed") document.getElementById("ended").textContent = `ended: ${error?.message ?? reason}`;
});
client.onPush("notice", (text) => {
  document.getElementById("ended").textContent = `notice: ${text}`;
});
globalThis.nap = () => client.request("Room.Nap", {}, { timeout: 600_000 });
globalThis.wake = () => fetch("wake", { method: "POST" });
