import type { WebSocketConstructor, WebSocketLike } from "./link.js";
import { NodeWebSocket } from "./node-websocket.js";

/**
 * Node's own, which up to version 22 tells of an error but not of its end when it cannot connect: it would look as if the
 * server took its time, and the next attempt would come only after that.
 */
function NativeWebSocket(url: string): WebSocketLike {
  const socket = new WebSocket(url);
  socket.addEventListener("error", () => {
    if (socket.readyState > 0) return; // it was open: its end is told
    setTimeout(() => {
      if (socket.readyState === 0) socket.onclose?.({ type: "close", code: 1006, reason: "", wasClean: false } as CloseEvent);
    });
  });
  return socket as WebSocketLike;
}

/** Node's WebSocket from version 22 on; before, a small one of ours. */
export const platformWebSocket = (): WebSocketConstructor => (globalThis.WebSocket ? (NativeWebSocket as unknown as WebSocketConstructor) : NodeWebSocket);
