// Axe looks at every page in the states that people meet: light and dark, 1280 and 390 pixels wide.
// Whoever uses a screen reader, the keyboard or weak eyes must find nothing in the way, and least
// of all when something goes wrong.
//
//   LOOKS=folder node --test axe.test.js    writes a picture of each state, too
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import axe from "axe-core";
import { ChatPerson } from "./chat-person.js";
import { ImPerson } from "./im-person.js";
import { Person, build, desktop, launch, phone, start } from "./lib.js";

const schemes = [["light"], ["dark", { runOnly: ["color-contrast", "link-in-text-block"] }]];

// Watched is a person at a page that axe looks at.
class Watched extends Person {
  found = [];

  // come visits a page, in the present run's device.
  static async come(browser, url, options, shown) {
    const person = await this.visit(browser, url, options);
    person.context.setDefaultTimeout(60_000); // axe keeps a busy machine busy
    person.shown = shown;
    return person;
  }

  // look has axe look at the page as it is now, in both colours; in the second one only for what
  // has to do with colours. name says what state that is.
  async look(name) {
    if (!(await this.page.evaluate(() => "axe" in globalThis))) await this.page.evaluate(axe.source);
    for (const [colorScheme, rules] of schemes) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      if (process.env.LOOKS) await this.page.screenshot({ path: `${process.env.LOOKS}/${this.shown}-${colorScheme}-${name.replaceAll(/\W+/g, "-")}.png` });
      const { violations } = await this.page.evaluate((options) => globalThis.axe.run(options), { resultTypes: ["violations"], ...rules });
      for (const { id, help, nodes } of violations) {
        for (const { target, failureSummary } of nodes) this.found.push(`${name}, ${colorScheme}: ${id} (${help}) at ${target}: ${failureSummary}`);
      }
    }
    await this.fits();
  }

  async enter(name, room, button) {
    await this.page.getByLabel("Your name").fill(name);
    await this.page.getByLabel("Room", { exact: true }).fill(room);
    await this.page.getByRole("button", { name: button, exact: true }).click();
  }

  async say(text) {
    await this.page.getByLabel("Message", { exact: true }).fill(text);
    await this.page.keyboard.press("Enter");
  }
}

// A look takes axe a second or two, and a machine that builds beside it much longer.
describe("axe finds nothing", { timeout: 600_000 }, () => {
  let browser, ada, server;
  const programs = {};

  before(async () => {
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    for (const { remove } of Object.values(programs)) await remove();
  });
  afterEach(async () => {
    await ada?.close();
    await server?.stop();
    [ada, server] = [undefined, undefined];
  });

  const serve = async (name, args, ready = /open (http:\/\/\S+)/) => {
    programs[name] ??= await build(name);
    server = await start(programs[name].program, args, ready);
    return server.match[1];
  };

  for (const [width, options] of [[1280, desktop], [390, phone]]) {
    const come = async (url, example) => (ada = await Watched.come(browser, url, options, `${example}-${width}`));
    const narrow = options === phone;

    test(`chat, ${width} wide`, async () => {
      const url = await serve("chat", ["-addr", "127.0.0.1:0"]);
      await come(url, "chat");
      await ada.page.locator("#welcome-connection", { hasText: "Connected" }).waitFor();
      await ada.look("welcome");
      await ada.enter("", "lobby", "Join the chat");
      await ada.seeError("The name is empty.");
      await ada.look("welcome with an error");
      await ada.enter("Ada", "lobby", "Join the chat");
      await ada.see("Nobody has said anything yet");
      await ada.look("empty room");

      const ben = await ChatPerson.come(browser, url, "Ben");
      await ben.openRoom("garden");
      await ben.button("lobby").first().click();
      await ben.say("see https://example.org");
      await ada.say("Hello 👋");
      await ben.text.fill("Hel");
      await ada.see("Ben is typing…");
      await ChatPerson.prototype.blurt.call(ada, "quick", 9);
      await ada.seeError("Not sent");
      await ada.look("messages, and one that was refused");
      if (narrow) {
        for (const drawer of ["Rooms", "People here"]) {
          await ada.button(drawer).tap();
          await ada.look(`drawer: ${drawer}`);
          await ada.page.keyboard.press("Escape");
        }
      }
      await ada.button("Copy the link to this room").click();
      await ada.see(/The link is copied|Copy this link/);
      await ada.look("toast");

      await server.stop();
      await ada.see("The server is away.");
      await ada.say("for later, see https://example.org");
      await ada.see("Waiting for the connection");
      await ada.look("the server is away");
      await ben.close();
      assert.deepEqual(ada.found, []);
    });

    test(`chat's dialog, ${width} wide`, async () => {
      await come(await serve("chat", ["-addr", "127.0.0.1:0"]), "chat");
      await ada.enter("Ada", "lobby", "Join the chat");
      await ada.see("Only you are here");
      await ChatPerson.prototype.blurt.call(ada, "flood", 120);
      await ada.page.getByRole("dialog").waitFor();
      await ada.look("taken out");
      assert.deepEqual(ada.found, []);
    });

    test(`arena, ${width} wide`, async () => {
      const url = await serve("arena", ["--addr", "127.0.0.1:0", "--bots", "8", "--round", "8s"]);
      await come(url, "arena");
      await ada.page.locator("#lobby-connection", { hasText: "Connected" }).waitFor();
      await ada.look("lobby");
      await ada.enter("", "garden", "Play");
      await ada.seeError("A name is needed.");
      await ada.look("lobby with an error");
      const ben = await Watched.visit(browser, url);
      await ben.enter("Ben", "garden", "Play");
      await ada.button("Play in garden, 1 person").waitFor();
      await ada.look("lobby with a room");
      await ben.close();
      await ada.enter("Ada", "garden", "Play");
      await ada.page.waitForFunction(() => globalThis.arena.view?.discs.some((d) => d.mine));
      await ada.look("game");
      await ada.button("How to play").click();
      await ada.look("game with the rules");
      await ada.button("Network figures").click();
      await ada.look("game with the figures");
      await ada.button("Network figures").click();
      await ada.page.locator("#result:not([hidden])").waitFor({ timeout: 60_000 });
      await ada.page.evaluate(() => {
        globalThis.paint = requestAnimationFrame;
        globalThis.requestAnimationFrame = (frame) => (globalThis.frame = frame); // axe may need longer than results are shown
      });
      await ada.look("results");
      await ada.page.evaluate(() => {
        globalThis.requestAnimationFrame = globalThis.paint;
        requestAnimationFrame(globalThis.frame);
      });
      await server.stop();
      await ada.page.locator("#game[data-stale]").waitFor();
      await ada.page.locator("#banner:not([hidden])").waitFor();
      await ada.look("the server is away");
      await ada.button("Leave the room").click();
      await ada.look("lobby, the server is away");
      assert.deepEqual(ada.found, []);
    });

    test(`cluster, ${width} wide`, async () => {
      await serve("cluster", ["demo", "--restart", "0"], /gate 1 .*pid (\d+) +http[^]*gate 2 .*pid (\d+) +http/);
      const [, pid, url] = /gate 1 .*pid (\d+) +(http\S+)/.exec(server.output);
      const [, other, elsewhere] = /gate 2 .*pid (\d+) +(http\S+)/.exec(server.output);
      await come(url, "cluster");
      await ada.page.locator("#welcome-connection", { hasText: "Connected" }).waitFor();
      await ada.look("welcome");
      await ada.enter("", "garden", "Join the chat");
      await ada.seeError("A name is needed.");
      await ada.look("welcome with an error");
      await ada.enter("Ada", "garden", "Join the chat");
      await ada.see("Only you are here");
      await ada.say("Hello");
      await ada.page.locator("[role=log] .bubble", { hasText: "Hello" }).waitFor();
      await ada.page.getByText("5 nodes, all see each other").waitFor({ state: "attached" });
      await ada.look("room");
      const map = async (name) => {
        if (narrow) await ada.page.locator("#path").click();
        await ada.look(name);
        if (narrow) await ada.page.locator("#path").click();
      };
      process.kill(Number(other), "SIGSTOP");
      await ada.page.locator(".nodes > li[data-state=stale]", { hasText: "gate 2" }).waitFor({ state: "attached" });
      await map("map with a gate that is silent");
      process.kill(Number(other), "SIGCONT");
      const twin = await Watched.visit(browser, elsewhere);
      await twin.enter("Ada", "garden", "Join the chat");
      await ada.page.getByRole("dialog", { name: "You came in somewhere else" }).waitFor();
      await ada.look("signed in elsewhere");
      await ada.button("Come back").click();
      await ada.see("Only you are here");
      await twin.close();
      process.kill(Number(pid), "SIGKILL");
      await ada.seeError("Your gate is away");
      await ada.say("for later");
      await ada.look("the gate is away");
      await map("map when the gate is away");
      assert.deepEqual(ada.found, []);
    });

    test(`im, ${width} wide`, async () => {
      const data = await mkdtemp(path.join(tmpdir(), "nano-im-data-"));
      try {
        await messenger(await serve("im", ["--addr", "127.0.0.1:0", "--data", data, "--quiet"]));
      } finally {
        await server.stop();
        await rm(data, { recursive: true, force: true });
      }
      assert.deepEqual(ada.found, []);
    });

    const messenger = async (url) => {
      await come(url, "im");
      // Ada does at the messenger what its people do.
      const im = Object.assign(new ImPerson(ada.context), { page: ada.page, name: "Ada" });
      await ada.page.locator("#by-name").waitFor();
      await ada.look("welcome");
      await ada.button("Come in").click();
      await ada.seeError("The name is empty.");
      await ada.look("welcome with an error");
      await im.signIn("Ada");
      if (narrow) await ada.look("list");
      const ben = await ImPerson.come(browser, url, "Ben");
      await im.openChannel("Everybody");
      await ada.see("Nobody has said anything yet");
      await ada.look("empty channel");
      await ben.openChannel("Everybody");
      await ben.say("see https://example.org");
      await ben.say("Hello @Ada");
      await im.seeMessage("Hello @Ada");
      await im.say("Hello 👋");
      await im.seeState("Hello 👋", "sent");
      await ada.page.evaluate(async () => {
        const { arrive, request } = await import("/connection.js");
        const { state } = await import("/store.js");
        const canvas = Object.assign(document.createElement("canvas"), { width: 300, height: 200 });
        canvas.getContext("2d").fillRect(0, 0, 300, 200);
        const body = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
        const picture = await (await fetch(`/pictures?channel=${state.active.id}`, { method: "POST", body })).json();
        arrive(await request("im.send", { channel: state.active.id, cid: "p", picture: picture.id, text: "A picture", reply: 2, mentions: ["ben"] }));
        const m = await request("im.send", { channel: state.active.id, cid: "d", text: "Not for long" });
        arrive(await request("im.delete", { channel: m.channel, n: m.n }));
      });
      await im.say("\u0001"); // nothing that can be seen: it is refused
      await ada.see("Not sent");
      await ada.see("Deleted message");
      await ada.look("messages of all kinds");
      await ada.page.evaluate(() => document.querySelector(".row [data-do=more]").click());
      await ada.page.getByRole("menu").waitFor();
      await ada.look("menu");
      await ada.page.keyboard.press("Escape");
      await ada.button("Members and settings").click();
      await ada.page.locator("#details-kind").waitFor();
      await ada.look("details");
      await ada.button("Close").last().click();
      await ada.page.evaluate(() => document.querySelector(".picture").click());
      await ada.page.locator("#viewer[open]").waitFor();
      await ada.look("picture");
      await ada.page.keyboard.press("Escape");
      await ada.page.keyboard.press("Control+k");
      await ada.page.getByLabel("Search in messages").fill("hello");
      await ada.page.locator(".hit").first().waitFor();
      await ada.look("search");
      await ada.page.locator("#search").getByRole("button", { name: "Close" }).click();
      if (narrow) await ada.button(/^All channels/).first().click();
      await ada.button("New conversation or group").click();
      await ada.page.locator(".person", { hasText: "Ben" }).click();
      await ada.button("Remove Ben").waitFor();
      await ada.look("new conversation");
      await ada.page.keyboard.press("Escape");
      await ben.page.evaluate(async () => {
        const { adopt, request } = await import("/connection.js");
        adopt(await request("im.create", { title: "Garden", invite: ["ada"] }));
      });
      await im.openChannel("Garden");
      await ada.look("invitation");
      await ada.button("Accept").click();
      await im.text.waitFor();
      await ben.openChannel("Garden");
      await ben.text.pressSequentially("Hm");
      await ada.page.locator("#typing", { hasText: "Ben is typing…" }).waitFor();
      await ada.look("somebody types");
      if (narrow) await ada.button(/^All channels/).first().click();
      await im.openChannel("Live");
      await ada.page.getByLabel("Say something").fill("What a view");
      await ada.button("Say it").click();
      await ada.page.locator(".says p").waitFor();
      await ada.look("live room");
      if (narrow) await ada.page.locator("#live").getByRole("button", { name: "All channels" }).click();
      await im.openChannel("Everybody");
      await server.stop();
      await ada.see("You are offline");
      await im.say("for later");
      await im.seeState("for later", "waiting");
      await ada.look("the server is away");
      await ben.close();
    };
  }
});
