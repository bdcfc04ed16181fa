// Checked by tsc, not run: the same package from CommonJS.
import client = require("nano-websocket-client");

const connection = client.connect<{ pushes: { tick: number } }>("/nano");
connection.onPush("tick", (n) => n.toFixed());
const bytes: Uint8Array = client.Protocol.Message.encode(1, client.Type.Request, false, "a.b");
// @ts-expect-error no such export
client.nothing;
export = bytes;
