// A person at the messenger's page.
import assert from "node:assert/strict";
import { Person } from "./lib.js";

export class ImPerson extends Person {
  // come visits and signs in by name.
  static async come(browser, url, name, options) {
    const person = await this.visit(browser, url, options);
    await person.signIn(name);
    return person;
  }

  async signIn(name) {
    this.name = name;
    await this.page.getByLabel("Your name").fill(name);
    await this.button("Come in").click();
    await this.connected();
  }

  connected() {
    return this.page.locator("#connection[data-state=open]").waitFor({ state: "attached" });
  }

  get text() {
    return this.page.getByLabel("Message", { exact: true });
  }

  // channel is the button of a channel in the list.
  channel(title) {
    return this.page.locator(".channel", { has: this.page.locator(".title", { hasText: title }) }).first();
  }

  async openChannel(title) {
    await this.channel(title).click();
    await this.page.getByRole("heading", { level: 1, name: title }).waitFor();
  }

  // talkTo opens the private channel with somebody; group makes a group.
  async talkTo(name) {
    await this.choose(name);
    await this.button("Start").click();
    await this.page.getByRole("heading", { level: 1, name }).waitFor();
  }

  async group(title, ...names) {
    await this.choose(...names);
    await this.page.getByLabel("Name of the group").last().fill(title);
    await this.button("Make the group").click();
    await this.page.getByRole("heading", { level: 1, name: title }).waitFor();
  }

  async choose(...names) {
    await this.button("New conversation or group").click();
    for (const name of names) {
      await this.page.getByLabel("Find people").fill(name);
      await this.page.locator(".person", { hasText: name }).first().click();
      await this.button(`Remove ${name}`).waitFor();
    }
  }

  async say(text) {
    await this.text.fill(text);
    await this.button("Send").click(); // on a phone, Enter begins a new line
  }

  // message is the row of a message.
  message(text) {
    return this.page.locator(".row", { has: this.page.locator(".bubble", { hasText: text }) }).last();
  }

  seeMessage(text) {
    return this.message(text).waitFor();
  }

  // seeState waits until a message of one's own is waiting, sent, read or failed.
  seeState(text, state) {
    return this.message(text).locator(`.message[data-state=${state}]`).waitFor();
  }

  // texts returns what stands in the channel now.
  texts() {
    return this.page.locator("#feed .text").evaluateAll((all) => all.map((node) => [...node.childNodes].filter((n) => !n.classList?.contains("meta")).map((n) => n.textContent).join("")));
  }

  // act chooses an action for a message.
  async act(text, action) {
    await this.message(text).hover();
    await this.message(text).getByRole("button", { name: "More" }).click();
    await this.page.getByRole("menuitem", { name: action }).click();
  }

  // where tells where a message stands in the window, or null.
  where(text) {
    return this.page.evaluate((words) => {
      const row = [...document.querySelectorAll("#feed .row")].find((r) => r.querySelector(".text")?.textContent.startsWith(words));
      return row ? row.querySelector(".bubble").getBoundingClientRect().top : null;
    }, text);
  }

  nodes() {
    return this.page.evaluate(() => document.getElementsByTagName("*").length);
  }

  async fits() {
    await super.fits();
    const sideways = await this.page.locator("#scroll").evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth);
    assert.equal(sideways, 0, "the messages can be moved sideways");
  }
}
