// A person at the chat's page: what one does there and what one then sees. Everything goes through what is on the
// page, by its labels and texts, and fails if that is not there in time.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

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

export class Person {
  // visit opens the chat in a context of its own: another browser, as far as the page can tell.
  static async visit(browser, url, options = desktop) {
    const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", reducedMotion: "reduce", ...options });
    context.setDefaultTimeout(10_000);
    return new Person(context).open(url);
  }

  // come visits and goes in.
  static async come(browser, url, name, { room = "", options } = {}) {
    const person = await Person.visit(browser, url, options);
    await person.enter(name, room);
    await person.seeRoom(room || "lobby");
    return person;
  }

  constructor(context) {
    this.context = context;
    this.complaints = []; // errors of scripts and violations of the policy
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

  // another opens a second tab, which begins with what this one has kept, as a duplicated tab does.
  async another(url) {
    const kept = await this.page.evaluate(() => sessionStorage.getItem("nano-chat"));
    const tab = new Person(this.context);
    await this.context.addInitScript((value) => sessionStorage.getItem("nano-chat") ?? sessionStorage.setItem("nano-chat", value), kept);
    return tab.open(url);
  }

  close() {
    return this.context.close();
  }

  button(name) {
    return this.page.getByRole("button", { name });
  }

  get text() {
    return this.page.getByLabel("Message", { exact: true });
  }

  async enter(name, room = "") {
    await this.page.getByLabel("Your name").fill(name);
    if (room) await this.page.getByLabel("Room", { exact: true }).fill(room);
    await this.button("Join the chat").click();
  }

  async openRoom(name) {
    await this.page.getByLabel("Open or join a room").fill(name);
    await this.page.getByLabel("Open or join a room").press("Enter");
    await this.seeRoom(name);
  }

  async say(text) {
    await this.text.fill(text);
    await this.text.press("Enter");
  }

  // seeRoom waits until the room is in sight and one is in it.
  async seeRoom(name) {
    await this.page.getByRole("heading", { level: 1, name: `#${name}`, exact: true }).waitFor();
    await this.page.waitForFunction(() => /^(Only you|You and)/.test(document.getElementById("room-sub").textContent));
  }

  // see waits for a text on the page.
  see(text) {
    return this.page.getByText(text).first().waitFor();
  }

  // seeMessage waits for a message that was sent: not one that still waits to be.
  seeMessage(text) {
    return this.page.locator("[role=log] .bubble", { hasText: text }).first().waitFor();
  }

  // messages returns what stands in the log now.
  messages() {
    return this.page.locator("[role=log] .bubble").allTextContents();
  }

  async seePeople(...names) {
    await this.page.waitForFunction((want) => {
      const who = [...document.querySelectorAll("#members .who")].map((node) => node.textContent);
      return JSON.stringify(who.sort()) === JSON.stringify(want);
    }, names.sort());
  }

  // seeError waits for an error that is announced.
  async seeError(text) {
    await this.page.getByRole("alert").filter({ hasText: text }).first().waitFor();
  }

  // seeConnection waits for the words at the connection's mark.
  async seeConnection(words) {
    await this.page.locator("#connection", { hasText: words }).waitFor({ state: "attached" });
  }

  // fits checks that nothing makes the page larger than the screen.
  async fits() {
    const { page, screen } = await this.page.evaluate(() => {
      const { scrollWidth, scrollHeight } = document.scrollingElement;
      return { page: [scrollWidth, scrollHeight], screen: [innerWidth, innerHeight] };
    });
    assert.deepEqual(page, screen);
    const log = await this.page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.getElementById("scroll");
      return scrollWidth - clientWidth;
    });
    assert.equal(log, 0, "the messages can be moved sideways");
  }
}
