// Axe looks at every page in the states that people meet, light and dark, on a desktop and on a phone. Whoever uses a
// screen reader, the keyboard or weak eyes must find nothing in the way, and least of all when something goes wrong.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import axe from "axe-core";
import { Person, build, desktop, launch, phone, start } from "./lib.js";

const looks = [
  ["desktop, light", { ...desktop, colorScheme: "light" }],
  ["desktop, dark", { ...desktop, colorScheme: "dark" }],
  ["phone, light", { ...phone, colorScheme: "light" }],
  ["phone, dark", { ...phone, colorScheme: "dark" }],
];

// Watched is a person at a page that axe looks at.
class Watched extends Person {
  found = [];

  // look has axe look at the page as it is now. name says what state that is.
  async look(name) {
    await this.page.evaluate(axe.source);
    const { violations } = await this.page.evaluate(() => globalThis.axe.run());
    for (const { id, help, nodes } of violations) {
      for (const { target, failureSummary } of nodes) this.found.push(`${name}: ${id} (${help}) at ${target}: ${failureSummary}`);
    }
    if (process.env.SHOTS) await this.page.screenshot({ path: `${process.env.SHOTS}/${this.label}-${name.replaceAll(/\W+/g, "-")}.png`.replaceAll(", ", "-") });
    await this.fits();
  }

  enter(name, room, button) {
    return this.page.getByLabel("Your name").fill(name)
      .then(() => this.page.getByLabel("Room", { exact: true }).fill(room))
      .then(() => this.page.getByRole("button", { name: button, exact: true }).click());
  }
}

describe("axe finds nothing", { timeout: 400_000 }, () => {
  let browser;
  const programs = {};

  before(async () => {
    browser = await launch();
    for (const name of ["chat", "cluster", "arena"]) programs[name] = await build(name);
  });
  after(async () => {
    await browser?.close();
    for (const { remove } of Object.values(programs)) await remove();
  });

  const serve = async (name, args, ready) => {
    const server = await start(programs[name].program, args, ready);
    return Object.assign(server, { url: server.match[1], addr: server.match[1].replace("http://", "") });
  };

  for (const [label, options] of looks) {
    const narrow = options.isMobile;
    const visit = async (url, example) => {
      const person = await Watched.visit(browser, url, options);
      person.label = `${example}-${label}`;
      return person;
    };
    const done = async (person, server) => {
      await person.close();
      await server.stop();
      assert.deepEqual(person.found, []);
    };

    test(`chat, ${label}`, async () => {
      const server = await serve("chat", ["-addr", "127.0.0.1:0"], /open (http:\/\/\S+)\s/);
      const ada = await visit(server.url, "chat");
      const ben = await Watched.visit(browser, server.url);
      await ada.page.locator("#welcome-connection", { hasText: "Connected" }).waitFor();
      await ada.look("welcome");
      await ada.enter("", "lobby", "Join the chat");
      await ada.seeError("The name is empty.");
      await ada.look("welcome with an error");
      await ada.enter("Ada", "lobby", "Join the chat");
      await ada.see("Nobody has said anything yet");
      await ada.look("empty room");

      await ben.enter("Ben", "lobby", "Join the chat");
      await ada.see("Ben joined");
      await ben.page.getByLabel("Message", { exact: true }).fill("see https://example.org");
      await ada.see("Ben is typing…");
      await ben.page.keyboard.press("Enter");
      for (let i = 1; i <= 7; i++) {
        await ada.page.getByLabel("Message", { exact: true }).fill(`quick ${i}`);
        await ada.page.keyboard.press("Enter");
      }
      await ada.seeError("Not sent");
      await ada.look("messages, and one that was refused");
      if (narrow) {
        await ada.button("Rooms").tap();
        await ada.look("drawer of rooms");
        await ada.page.keyboard.press("Escape");
        await ada.button("People here").tap();
        await ada.look("drawer of people");
        await ada.page.keyboard.press("Escape");
      }
      await ada.button("Copy the link to this room").click();
      await ada.look("toast");

      await server.stop();
      await ada.see("The server is away.");
      await ada.page.getByLabel("Message", { exact: true }).fill("for later");
      await ada.page.keyboard.press("Enter");
      await ada.see("Waiting for the connection");
      await ada.look("the server is away");
      await ben.close();
      await done(ada, server);
    });

    test(`chat's dialog, ${label}`, async () => {
      const server = await serve("chat", ["-addr", "127.0.0.1:0"], /open (http:\/\/\S+)\s/);
      const ada = await visit(server.url, "chat");
      await ada.enter("Ada", "lobby", "Join the chat");
      await ada.see("Only you are here");
      const dialog = ada.page.getByRole("dialog");
      for (let i = 0; !(await dialog.isVisible()); i++) {
        await ada.page.getByLabel("Message", { exact: true }).fill(`flood ${i}`);
        await ada.page.keyboard.press("Enter");
      }
      await ada.look("taken out");
      await done(ada, server);
    });

    test(`arena, ${label}`, async () => {
      const server = await serve("arena", ["--addr", "127.0.0.1:0", "--bots", "6"], /open (http:\/\/\S+)/);
      const ada = await visit(server.url, "arena");
      await ada.page.locator("#lobby-connection", { hasText: "Connected" }).waitFor();
      await ada.look("lobby");
      await ada.enter("", "garden", "Play");
      await ada.seeError("A name is needed.");
      await ada.look("lobby with an error");
      const ben = await Watched.visit(browser, server.url);
      await ben.enter("Ben", "garden", "Play");
      await ada.button("Play in garden, 1 person").waitFor();
      await ada.look("lobby with a room");
      await ben.close();
      await ada.enter("Ada", "garden", "Play");
      await ada.page.waitForFunction(() => globalThis.arena.view?.discs.some((d) => d.mine));
      await ada.button("Network figures").click();
      await ada.look("game");
      await server.stop();
      await ada.page.locator("#banner:not([hidden])").waitFor();
      await ada.look("the server is away");
      await ada.button("Leave the room").click();
      await ada.look("lobby, the server is away");
      await done(ada, server);
    });

    test(`cluster, ${label}`, async () => {
      const server = await serve("cluster", ["demo", "--restart", "0"], /gate 1 .*pid (\d+) +http[^]*gate 2/);
      const [, pid, url] = /gate 1 .*pid (\d+) +(http\S+)/.exec(server.output);
      const ada = await visit(url, "cluster");
      await ada.page.locator("#welcome-connection", { hasText: "Connected" }).waitFor();
      await ada.look("welcome");
      await ada.enter("", "garden", "Join the chat");
      await ada.seeError("A name is needed.");
      await ada.look("welcome with an error");
      await ada.enter("Ada", "garden", "Join the chat");
      await ada.see("Only you are here");
      await ada.page.getByLabel("Message", { exact: true }).fill("Hello");
      await ada.page.keyboard.press("Enter");
      await ada.page.locator("[role=log] .bubble", { hasText: "Hello" }).waitFor();
      await ada.page.getByText("5 nodes, all see each other").waitFor({ state: "attached" });
      await ada.look("room");
      const map = async (name) => {
        if (narrow) await ada.page.locator("#path").click();
        await ada.look(name);
        if (narrow) await ada.page.locator("#path").click();
      };
      await map("map");
      process.kill(Number(pid), "SIGKILL");
      await ada.seeError("Your gate is away");
      await ada.look("the gate is away");
      await map("map when the gate is away");
      await done(ada, server);
    });
  }
});
