// What the tests of all examples share: the browser, the programs whose pages it opens, and a
// person at such a page.
//
//   npm ci && npm test                  all of them; node --test chat.test.js: one
//   SCREENSHOTS=1 npm test              writes the pictures in docs/img too
//   CHROMIUM=/path/to/chromium npm test
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../..", import.meta.url));

export const desktop = { viewport: { width: 1280, height: 800 } };
export const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const switches = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: switches });
}

// build compiles an example into a folder of its own. The result has the program's path, and
// remove().
export async function build(example) {
  const name = path.basename(example);
  const ready = process.env[`PROGRAM_${name}`]; // one that is built already
  if (ready) return { program: ready, remove() {} };
  const folder = await mkdtemp(path.join(tmpdir(), `nano-${name}-`));
  const program = path.join(folder, process.platform === "win32" ? `${name}.exe` : name);
  await promisify(execFile)("go", ["build", "-o", program, `./examples/${example}`], { cwd: root });
  return { program, remove: () => rm(folder, { recursive: true, force: true }) };
}

// start runs a program and waits until what it prints matches ready; the result's match is that
// match.
export async function start(program, args, ready) {
  const server = new Server(program, args);
  server.match = await server.prints(ready);
  return server;
}

class Server {
  output = "";
  #child;
  #waiting = new Set();

  constructor(program, args) {
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    // "close" and not "exit": what it printed last has been read then.
    this.ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code, signal) => resolve(code ?? signal));
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk) => {
        this.output += chunk;
        for (const look of this.#waiting) look();
      });
    }
  }

  // prints waits until what the program has printed so far matches.
  async prints(pattern) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const match = pattern.exec(this.output);
        if (match) resolve(match);
      };
    });
    this.#waiting.add(look);
    look();
    const ended = this.ended.then((how) => {
      throw new Error(`the program ended (${how}) and has not printed ${pattern}:\n${this.output}`);
    });
    try {
      return await Promise.race([found, ended]);
    } finally {
      this.#waiting.delete(look);
    }
  }

  // stop ends the program as an operator would, kill as a crash. Both resolve to its exit code, or
  // the signal.
  stop() {
    return this.#end("SIGTERM");
  }

  kill() {
    return this.#end("SIGKILL");
  }

  #end(signal) {
    this.#child.kill(signal);
    return this.ended;
  }
}

// Proxy is a way to a server that the tests can cut, and lead elsewhere.
export class Proxy {
  #server = net.createServer((from) => this.#join(from));
  #sockets = new Set();

  static async to(addr) {
    const proxy = new Proxy();
    proxy.lead(addr);
    await new Promise((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  // lead has new connections go to another address. Those that are there stay.
  lead(addr) {
    [this.host, this.port] = addr.split(":");
  }

  #join(from) {
    if (!this.port) {
      from.on("error", () => {});
      return from.destroy();
    }
    const to = net.connect(Number(this.port), this.host);
    for (const [socket, other] of [[from, to], [to, from]]) {
      this.#sockets.add(socket);
      socket.on("error", () => {}); // close follows
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }

  // cut ends the connections without a word, as a network does that is gone.
  cut() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  // away takes no connections any more, until lead is called. A page that is told to be offline may
  // just have made one.
  away() {
    this.port = undefined;
    this.cut();
  }

  close() {
    this.cut();
    this.#server.close();
  }
}

// Person is somebody at an example's page. What one does there and what one then sees goes through
// what is on the page, by its labels and texts, and fails if that is not there in time. Each
// example adds what its page can do.
export class Person {
  complaints = []; // errors of scripts, and violations of the policy

  // visit opens the page in a context of its own: another browser, as far as the page can tell.
  static async visit(browser, url, options = desktop) {
    const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", reducedMotion: "reduce", ...options });
    context.setDefaultTimeout(30_000);
    return new this(context).open(url);
  }

  constructor(context) {
    this.context = context;
  }

  async open(url) {
    this.page = await this.context.newPage();
    this.page.on("pageerror", (err) => this.complaints.push(String(err.stack ?? err)));
    this.page.on("console", (message) => {
      // A server that is away is part of the tests, and the browser logs each attempt by itself.
      const expected = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED/.test(message.text());
      if (["error", "warning"].includes(message.type()) && !expected) this.complaints.push(message.text());
    });
    const response = await this.page.goto(url);
    assert.match(response.headers()["content-security-policy"], /default-src 'self'/);
    return this;
  }

  close() {
    return this.context.close();
  }

  button(name) {
    return this.page.getByRole("button", { name });
  }

  // see waits for a text on the page.
  see(text) {
    return this.page.getByText(text).first().waitFor();
  }

  // seeError waits for an error that is announced.
  seeError(text) {
    return this.page.getByRole("alert").filter({ hasText: text }).first().waitFor();
  }

  // fits checks that nothing makes the page larger than the screen.
  async fits() {
    const { page, screen } = await this.page.evaluate(() => {
      const { scrollWidth, scrollHeight } = document.scrollingElement;
      return { page: [scrollWidth, scrollHeight], screen: [innerWidth, innerHeight] };
    });
    assert.deepEqual(page, screen);
  }

  // picture writes docs/img/NAME.png, if pictures are wanted.
  async picture(name) {
    if (!process.env.SCREENSHOTS) return;
    await mkdir(path.join(root, "docs/img"), { recursive: true });
    await this.page.screenshot({ path: path.join(root, "docs/img", `${name}.png`) });
  }
}
