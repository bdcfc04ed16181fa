// The cluster's chat as people use it, in a real Chromium, on the demo's processes, which are killed meanwhile.
//
//   npm ci && npm test                  all of it
//   SCREENSHOTS=1 npm test              writes docs/img/cluster-desktop.png and cluster-phone.png too
//   CHROMIUM=/path/to/chromium npm test
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const desktop = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const switches = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

// Demo is the demo's processes: where they are, and how to kill one.
class Demo {
  nodes = new Map(); // name -> {pid, page}
  output = "";

  async start() {
    this.folder = await mkdtemp(path.join(tmpdir(), "nano-cluster-"));
    const program = path.join(this.folder, "cluster");
    await promisify(execFile)("go", ["build", "-o", program, "./examples/cluster"], { cwd: root });
    this.child = spawn(program, ["demo", "--restart", "3s"], { stdio: ["ignore", "pipe", "inherit"] });
    this.ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.stdout.on("data", (chunk) => {
      this.output += chunk;
      for (const [, name, pid, page] of this.output.matchAll(/^ {2}(\S[^\n]*?) +127\.\S+ +pid (\d+) *(http\S+)?$/gm)) {
        if (!this.nodes.has(name)) this.nodes.set(name, { pid: Number(pid), page });
      }
      for (const [, name, pid] of this.output.matchAll(/^(.+) is back: pid (\d+)$/gm)) this.nodes.get(name).pid = Number(pid);
    });
    while (!this.output.includes("Ctrl-C ends all of it.")) {
      if (this.child.exitCode !== null) throw new Error(`the demo ended:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return this;
  }

  kill(name) {
    process.kill(this.nodes.get(name).pid, "SIGKILL");
  }

  async stop() {
    this.child.kill("SIGINT");
    assert.equal(await this.ended, 0, this.output);
    await rm(this.folder, { recursive: true, force: true });
  }
}

// Person is somebody at the page.
class Person {
  complaints = [];

  static async come(browser, url, name, room, options) {
    const person = new Person();
    person.context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", reducedMotion: "reduce", ...options });
    person.context.setDefaultTimeout(15_000);
    const page = (person.page = await person.context.newPage());
    page.on("pageerror", (err) => person.complaints.push(String(err.stack ?? err)));
    page.on("console", (message) => {
      const expected = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED/.test(message.text());
      if (["error", "warning"].includes(message.type()) && !expected) person.complaints.push(message.text());
    });
    const response = await page.goto(url);
    assert.match(response.headers()["content-security-policy"], /default-src 'self'/);
    await page.getByLabel("Your name").fill(name);
    await page.getByLabel("Room", { exact: true }).fill(room);
    await page.getByRole("button", { name: "Join the chat" }).click();
    await page.getByRole("heading", { level: 1, name: `#${room}`, exact: true }).waitFor();
    return person;
  }

  async say(text) {
    await this.page.getByLabel("Message", { exact: true }).fill(text);
    await this.page.getByLabel("Message", { exact: true }).press("Enter");
  }

  hears(text) {
    return this.page.locator("[role=log] .bubble", { hasText: text }).first().waitFor();
  }

  on(role) {
    return this.page.locator(`#path-${role} b`).textContent();
  }

  seesOn(role, name) {
    return this.page.locator(`#path-${role}`, { hasText: name }).waitFor();
  }

  seesEvent(text) {
    return this.page.locator("#events li", { hasText: text }).first().waitFor({ state: "attached" });
  }

  async fits() {
    const { page, screen } = await this.page.evaluate(() => {
      const { scrollWidth, scrollHeight } = document.scrollingElement;
      return { page: [scrollWidth, scrollHeight], screen: [innerWidth, innerHeight] };
    });
    assert.deepEqual(page, screen);
  }
}

describe("cluster", { timeout: 180_000 }, () => {
  let demo, browser, ada, ben;

  before(async () => {
    demo = await new Demo().start();
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: switches });
    ada = await Person.come(browser, demo.nodes.get("gate 1").page, "Ada", "garden", desktop);
    ben = await Person.come(browser, demo.nodes.get("gate 2").page, "Ben", "garden", phone);
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
    for (const person of [ada, ben]) assert.deepEqual(person?.complaints, [], "the browser complains");
  });

  test("people behind two gates meet on one backend", async () => {
    await ada.say("Hello from gate 1");
    await ben.hears("Hello from gate 1");
    await ben.say("And hello from gate 2 👋");
    await ada.hears("And hello from gate 2");
    await ada.say("The room is on one backend, whichever gate one comes by.");
    await ben.hears("The room is on one backend");
    assert.equal(await ada.on("gate"), "gate 1");
    assert.equal(await ben.on("gate"), "gate 2");
    assert.equal(await ada.on("backend"), await ben.on("backend"));
  });

  test("the map counts who is where", async () => {
    for (const gate of ["gate 1", "gate 2"]) {
      await ada.page.locator("#gates li", { hasText: gate }).filter({ hasText: "1 user" }).waitFor();
    }
    const backend = await ada.on("backend");
    const item = ada.page.locator("#backends li", { hasText: backend });
    await item.filter({ hasText: "#garden 2" }).filter({ hasText: "you are here" }).waitFor();
    await ada.page.getByText("5 nodes, all see each other").waitFor();
    await ada.fits();
    await ben.fits();
    if (process.env.SCREENSHOTS) {
      await ada.page.screenshot({ path: path.join(root, "docs/img/cluster-desktop.png") });
      await ben.page.screenshot({ path: path.join(root, "docs/img/cluster-phone.png") });
    }
    await ben.page.locator("#path").click(); // on a phone the map is behind the path
    await ben.page.getByRole("heading", { name: "The cluster" }).waitFor();
    await ben.fits();
    await ben.page.locator("#path").click();
  });

  test("the backend is killed: the room goes on at the other, and nothing that was written is lost", async () => {
    const dead = await ada.on("backend");
    const other = dead === "backend 1" ? "backend 2" : "backend 1";
    demo.kill(dead);
    await ben.say("written after the kill");
    await ada.hears("written after the kill");
    for (const person of [ada, ben]) {
      await person.seesOn("backend", other);
      await person.seesEvent(`#garden is on ${other} now`);
      await person.page.locator("#people", { hasText: /^You and/ }).waitFor();
    }
    await ada.seesEvent(`${dead} has left the cluster`);
    await ada.seesEvent(`${dead} has joined`);
  });

  test("the gate is killed: the page says so, and comes back", async () => {
    demo.kill("gate 1");
    await ada.page.getByRole("alert").filter({ hasText: "Your gate is away" }).waitFor();
    await ada.page.locator("#path-gate[data-state=bad]").waitFor();
    await ada.say("written while the gate was away");
    await ben.hears("written while the gate was away");
    await ada.seesOn("gate", "gate 1");
    await ada.seesEvent("the gate is back");
    // Whether Ben sees her leave and join depends on who comes first, as the room may move home to the backend that is back.
    await ben.page.locator("#people", { hasText: /^You and Ada/ }).waitFor();
  });

  test("another room may be on another backend", async () => {
    await ada.page.getByLabel("Go to another room").fill("attic");
    await ada.page.getByLabel("Go to another room").press("Enter");
    await ada.page.getByRole("heading", { level: 1, name: "#attic", exact: true }).waitFor();
    await ada.page.getByText("Only you are here").waitFor();
    await ben.page.getByText("Only you are here").waitFor();
    await ada.say("<b>text</b> stays text");
    await ada.hears("<b>text</b> stays text");
  });
});
