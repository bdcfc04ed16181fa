import { bytes, connect } from "/dist/index.js";
import { scenario } from "./scenario.js";

const log = (line) => (document.getElementById("log").textContent += `${line}\n`);

window.connection = connect("/nano", { user: { name: "Ada" }, reconnect: { min: 50, max: 200 } });
window.connection.on("state", ({ state, reason }) => log(`${state} ${reason}`.trim()));
window.connection.onPush("onSay", ({ text }) => log(`push ${text}`));
log(await scenario(window.connection, bytes));

// The same from the script's global, and from workers of both kinds.
const again = window.nano.connect("/nano");
log(`script: ${await scenario(again, window.nano.bytes)}`);
again.close();
for (const [name, options] of [
  ["module-worker.js", { type: "module" }],
  ["classic-worker.js", {}],
]) {
  const worker = new Worker(name, options);
  log(`${name}: ${await new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)))}`);
  worker.terminate();
}
log("done");
