// A person at the chat's page.
import assert from "node:assert/strict";
import { Person } from "./lib.js";

export class ChatPerson extends Person {
  // come visits and goes in.
  static async come(browser, url, name, { room = "", options } = {}) {
    const person = await this.visit(browser, url, options);
    await person.enter(name, room);
    await person.seeRoom(room || "lobby");
    return person;
  }

  // another opens a second tab, which begins with what this one has kept, as a duplicated tab does.
  async another(url) {
    const kept = await this.page.evaluate(() => sessionStorage.getItem("nano-chat"));
    const tab = new ChatPerson(this.context);
    await this.context.addInitScript((value) => sessionStorage.getItem("nano-chat") ?? sessionStorage.setItem("nano-chat", value), kept);
    return tab.open(url);
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

  // blurt sends so many messages at once: "WORD 1" and so on.
  blurt(word, count) {
    return this.page.evaluate(([text, n]) => {
      for (let i = 1; i <= n; i++) {
        document.getElementById("text").value = `${text} ${i}`;
        document.getElementById("composer").requestSubmit();
      }
    }, [word, count]);
  }

  // seeRoom waits until the room is in sight and one is in it.
  async seeRoom(name) {
    await this.page.getByRole("heading", { level: 1, name: `#${name}`, exact: true }).waitFor();
    await this.page.waitForFunction(() => /^(Only you|You and)/.test(document.getElementById("room-sub").textContent));
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

  // seeConnection waits for the words at the connection's mark.
  async seeConnection(words) {
    await this.page.locator("#connection", { hasText: words }).waitFor({ state: "attached" });
  }

  async fits() {
    await super.fits();
    const sideways = await this.page.locator("#scroll").evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth);
    assert.equal(sideways, 0, "the messages can be moved sideways");
  }
}
