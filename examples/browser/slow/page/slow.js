// A client, for the console's test: the test calls it from outside.
import { connect } from "./nano-websocket-client.js";

const client = connect("/nano");
client.on("state", ({ state, reason, error }) => {
  if (state === "closed") document.getElementById("ended").textContent = `ended: ${error?.message ?? reason}`;
});
client.onPush("notice", (text) => {
  document.getElementById("ended").textContent = `notice: ${text}`;
});
globalThis.nap = (ms) => client.request("Room.Nap", { ms }, { timeout: 30_000 });
