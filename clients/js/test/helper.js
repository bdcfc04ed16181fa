// Builds, starts and stops the Go node of the tests; and a socket that the tests play the server
// of.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const run = promisify(execFile);

export const vectors = JSON.parse(await readFile(new URL("../../../codec/testdata/vectors.json", import.meta.url), "utf8"));

/** Reads the vectors' hex, where a long run is written "repeat 63 x 65536". */
export function bytes(hex) {
  return Buffer.concat(
    hex.split(" then ").map((part) => {
      const run = /^repeat (\w\w) x (\d+)$/.exec(part);
      return run ? Buffer.alloc(Number(run[2]), Buffer.from(run[1], "hex")) : Buffer.from(part, "hex");
    }),
  );
}

/** Compiles the node into a folder of its own. */
export async function build() {
  const folder = await mkdtemp(path.join(tmpdir(), "nano-js-"));
  const program = path.join(folder, "server");
  await run("go", ["build", "-o", program, "./test/testdata/server"], { cwd: root });
  return { folder, program, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Runs the node and waits for its address. stop ends it as an operator would, kill as a crash. */
export function start(program, ...args) {
  const child = spawn(program, ["-root", root, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  const end = (signal) => {
    child.kill(signal);
    return ended;
  };
  return new Promise((resolve, reject) => {
    const read = (chunk) => {
      output += chunk;
      const url = /listening on (https?:\/\/\S+)/.exec(output)?.[1];
      if (url) resolve({ url, host: new URL(url).host, ws: `${url.replace("http", "ws")}/nano`, stop: () => end("SIGTERM"), kill: () => end("SIGKILL"), freeze: () => child.kill("SIGSTOP"), thaw: () => child.kill("SIGCONT") });
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("error", reject);
    ended.then(({ code, signal }) => reject(new Error(`the server ended (${code ?? signal}):\n${output}`)));
  });
}

/** Lets everything that is due happen. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A class of sockets whose other end is the test; `sockets` are those that were made. */
export function fakeSockets({ Packet, PacketDecoder, encodePacket, encodeMessage, decodeMessage }) {
  const sockets = [];
  class FakeSocket {
    bufferedAmount = 0;
    sent = []; // packets as {type, body}
    closed = false;
    onopen = null;
    onmessage = null;
    onerror = null;
    onclose = null;
    constructor(url) {
      this.url = url;
      sockets.push(this);
    }
    send(data) {
      new PacketDecoder().push(data, (type, body) => this.sent.push({ type, body }));
    }
    close(code) {
      this.closed = true;
      this.code = code;
    }
    /** The handshake that the client sent. */
    get hello() {
      return JSON.parse(Buffer.from(this.sent[0].body));
    }
    /** The messages that the client sent. */
    messages(dictionary) {
      return this.sent.filter(({ type }) => type === Packet.Data).map(({ body }) => decodeMessage(body, dictionary));
    }
    receive(...packets) {
      this.onmessage?.({ data: Buffer.concat(packets) });
      return settle();
    }
    message(message, dictionary) {
      const data = message.data === undefined || message.data instanceof Uint8Array ? message.data : Buffer.from(JSON.stringify(message.data));
      return encodePacket(Packet.Data, encodeMessage({ ...message, data }, dictionary));
    }
    async open(sys = {}, more = {}) {
      this.onopen?.({});
      await settle();
      return this.receive(encodePacket(Packet.Handshake, Buffer.from(JSON.stringify({ code: 200, sys, ...more }))));
    }
    lose(event = { type: "close", code: 1006, reason: "" }) {
      this.onclose?.(event);
      return settle();
    }
  }
  return { FakeSocket, sockets, last: () => sockets[sockets.length - 1] };
}

/** Collects what a connection tells of its states. */
export function states(connection) {
  const seen = [];
  connection.on("state", (change) => seen.push(change));
  return seen;
}

/** Waits for an event of the v0.5 face. */
export const heard = (nano, event) => new Promise((resolve) => nano.once(event, resolve));

/** Waits for a state. */
export function until(connection, want) {
  if (connection.state === want) return Promise.resolve();
  return new Promise((resolve) => {
    const off = connection.on("state", (change) => {
      if (change.state !== want) return;
      off();
      resolve(change);
    });
  });
}

/** Waits for the next pushes to a route. */
export function pushes(connection, route, count = 1, options) {
  return new Promise((resolve) => {
    const got = [];
    const off = connection.onPush(
      route,
      (value) => {
        got.push(value);
        if (got.length === count) {
          off();
          resolve(got);
        }
      },
      options,
    );
  });
}
