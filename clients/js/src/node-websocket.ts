// A WebSocket for Node versions that have none of their own: no more of one than a link needs.
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import type { WebSocketLike } from "./link.js";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const LARGEST = 64 << 20; // of a message

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Handler = ((event: any) => void) | null;

/** Client side of RFC 6455, without extensions. */
export class NodeWebSocket implements WebSocketLike {
  binaryType = "arraybuffer"; // the only one
  onopen: Handler = null;
  onmessage: Handler = null;
  onerror: Handler = null;
  onclose: Handler = null;
  private _socket: Duplex | undefined;
  private _request: http.ClientRequest;
  private _buffer: Buffer = Buffer.alloc(0);
  private _fragments: Buffer[] = [];
  private _size = 0; // of them together
  private _text = false;
  private _closing = false;
  private _done = false;
  private _code = 1006;
  private _reason = "";
  private _timer: NodeJS.Timeout | undefined;

  constructor(address: string) {
    const url = new URL(address);
    const secure = url.protocol === "wss:";
    if (!secure && url.protocol !== "ws:") throw new SyntaxError(`${url.protocol} is no scheme of a WebSocket`);
    url.protocol = secure ? "https:" : "http:";
    const key = randomBytes(16).toString("base64");
    const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key };
    this._request = (secure ? https : http).get(url, { headers, agent: false });
    this._request.on("upgrade", (answer, socket, head) => {
      const want = createHash("sha1").update(key + GUID).digest("base64");
      this._socket = socket;
      socket.on("error", () => {});
      socket.on("close", () => this._ended());
      if (answer.headers["sec-websocket-accept"] !== want || this._closing) return this._fail("not a WebSocket");
      if ("setNoDelay" in socket) (socket as import("node:net").Socket).setNoDelay(true);
      this.onopen?.({ type: "open" });
      socket.on("data", (chunk: Buffer) => this._read(chunk));
      socket.on("end", () => socket.destroy());
      if (head.length) this._read(head);
    });
    this._request.on("response", (answer) => {
      answer.resume();
      this._fail(`the server answered ${answer.statusCode}`);
    });
    this._request.on("error", (err) => this._fail(err.message));
  }

  get bufferedAmount(): number {
    return this._socket?.writableLength ?? 0;
  }

  send(data: Uint8Array): void {
    if (!this._closing) this._write(2, data);
  }

  close(code = 1000, reason = ""): void {
    if (this._closing) return;
    this._closing = true;
    if (!this._socket) {
      this._request.destroy();
      return this._ended();
    }
    const body = Buffer.from(`xx${reason}`);
    body.writeUInt16BE(code);
    this._write(8, body);
    this._timer = setTimeout(() => this._socket!.destroy(), 3000);
    this._timer.unref();
  }

  private _write(op: number, data: Uint8Array): void {
    const n = data.length;
    const extra = n < 126 ? 0 : n < 65536 ? 2 : 8;
    const frame = Buffer.allocUnsafe(6 + extra + n);
    frame[0] = 0x80 | op;
    frame[1] = 0x80 | (extra === 0 ? n : extra === 2 ? 126 : 127);
    if (extra === 2) frame.writeUInt16BE(n, 2);
    if (extra === 8) frame.writeBigUInt64BE(BigInt(n), 2);
    const at = 2 + extra;
    const mask = randomBytes(4);
    frame.set(mask, at);
    for (let i = 0; i < n; i++) frame[at + 4 + i] = data[i]! ^ mask[i & 3]!;
    this._socket!.write(frame);
  }

  private _read(chunk: Buffer): void {
    let data = this._buffer.length ? Buffer.concat([this._buffer, chunk]) : chunk;
    while (!this._done) {
      if (data.length < 2) break;
      let n = data[1]! & 127;
      let at = 2;
      if (n === 126) {
        at = 4;
        if (data.length < at) break;
        n = data.readUInt16BE(2);
      } else if (n === 127) {
        at = 10;
        if (data.length < at) break;
        n = Number(data.readBigUInt64BE(2));
      }
      if (data[0]! & 0x70 || data[1]! & 0x80 || n > LARGEST) return this._fail("the server breaks the WebSocket protocol");
      if (data.length < at + n) break;
      this._frame(data[0]! & 15, (data[0]! & 0x80) !== 0, data.subarray(at, at + n));
      data = data.subarray(at + n);
    }
    this._buffer = data;
  }

  private _frame(op: number, final: boolean, payload: Buffer): void {
    switch (op) {
      case 0:
      case 1:
      case 2: {
        if (op) {
          this._text = op === 1;
          this._fragments = [];
          this._size = 0;
        }
        if ((this._size += payload.length) > LARGEST) return this._fail("the server breaks the WebSocket protocol");
        this._fragments.push(payload);
        if (!final) return;
        const whole = Buffer.concat(this._fragments);
        this._fragments = [];
        if (!this._closing) this.onmessage?.({ data: this._text ? whole.toString() : new Uint8Array(whole) });
        return;
      }
      case 8:
        if (payload.length > 1) {
          this._code = payload.readUInt16BE(0);
          this._reason = payload.toString("utf8", 2);
        } else {
          this._code = 1005;
        }
        if (!this._closing) {
          this._closing = true;
          this._write(8, payload.subarray(0, 2));
        }
        this._socket!.end();
        return;
      case 9:
        if (!this._closing) this._write(10, payload);
        return;
      case 10:
        return;
      default:
        this._fail("the server breaks the WebSocket protocol");
    }
  }

  private _fail(message: string): void {
    if (this._done) return;
    this.onerror?.({ type: "error", message });
    this._request.destroy();
    this._socket?.destroy();
    this._ended();
  }

  private _ended(): void {
    if (this._done) return;
    this._done = true;
    clearTimeout(this._timer);
    this.onclose?.({ type: "close", code: this._code, reason: this._reason, wasClean: this._code !== 1006 });
  }
}
