import type { WebSocketConstructor } from "./link.js";
import { NodeWebSocket } from "./node-websocket.js";

/** Node's WebSocket from version 22 on; before, a small one of ours. */
export const platformWebSocket = (): WebSocketConstructor => (globalThis.WebSocket as unknown as WebSocketConstructor | undefined) ?? NodeWebSocket;
