import type { WebSocketConstructor } from "./link.js";

/** The WebSocket of browsers and workers. */
export const platformWebSocket = (): WebSocketConstructor => globalThis.WebSocket as unknown as WebSocketConstructor;
