// The chat as people use it, in a real Chromium against the real server.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { ChatPerson } from "./chat-person.js";
import { Proxy, build, desktop, launch, phone, start } from "./lib.js";

// serve runs the chat, and waits for the address that it prints.
async function serve(program, addr = "127.0.0.1:0") {
  const server = await start(program, ["-addr", addr], /open (http:\/\/\S+)\s/);
  server.url = server.match[1];
  server.addr = new URL(server.url).host;
  return server;
}

describe("chat", { timeout: 600_000 }, () => {
  let chat, browser, server, people;

  before(async () => {
    chat = await build("chat");
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await chat?.remove();
  });
  beforeEach(async () => {
    server = await serve(chat.program);
    people = [];
  });
  afterEach(async () => {
    for (const person of people) assert.deepEqual(person.complaints, [], "the browser complains");
    await Promise.all(people.map((person) => person.close()));
    await server.stop();
  });

  const visit = async (options) => keep(await ChatPerson.visit(browser, server.url, options));
  const come = async (name, more) => keep(await ChatPerson.come(browser, server.url, name, more));
  const keep = (person) => {
    people.push(person);
    return person;
  };

  test("two people meet, talk and part", async () => {
    const ada = await come("Ada");
    await ada.see("Only you are here");
    await ada.see("Nobody has said anything yet");
    const ben = await come("Ben 🦊");
    await ada.see("Ben 🦊 joined");
    await ada.seePeople("Ada", "Ben 🦊");
    await ben.seePeople("Ada", "Ben 🦊");

    await ben.text.fill("Hello A");
    await ada.see("Ben 🦊 is typing…");
    await ben.say("Hello Ada");
    await ada.seeMessage("Hello Ada");
    await ada.say("Hello Ben\n👋");
    await ben.seeMessage("Hello Ben");
    for (const person of [ada, ben]) assert.deepEqual(await person.messages(), ["Hello Ada", "Hello Ben\n👋"]);

    await ben.button("Leave #lobby").click();
    await ben.see("Pick a room");
    await ada.see("Ben 🦊 left");
    await ada.seePeople("Ada");
    await ada.say("Nobody hears this");
    await ada.seeMessage("Nobody hears this");

    await ben.button("lobby 1 person there").click();
    await ben.seeMessage("Nobody hears this"); // but it was kept
    await ben.close();
    await ada.see("Ben 🦊 left");
  });

  test("typing ends at once when the text is sent, taken back, or left", async () => {
    const ada = await visit();
    await ada.page.evaluate(() => {
      // It must not end by itself after its five seconds here.
      const real = setTimeout;
      globalThis.setTimeout = (what, ms, ...more) => real(what, ms === 5000 ? 1e8 : ms, ...more);
    });
    await ada.enter("Ada");
    const ben = await come("Ben");
    const types = ada.page.locator("#typing.on", { hasText: "Ben is typing…" });
    const ends = [
      () => ben.say("Hello Ada"),
      () => ben.text.fill(""),
      () => ben.openRoom("garden"),
    ];
    for (const end of ends) {
      await ben.text.fill("Hello A");
      await types.waitFor();
      await end();
      await types.waitFor({ state: "detached" });
    }
    await ben.text.press("Alt+ArrowUp");
    await ben.text.fill("Hello");
    await types.waitFor();
    await server.kill();
    await types.waitFor({ state: "detached" });
    server = await serve(chat.program, server.addr);
  });

  test("what people write stays text", async () => {
    const [ada, ben] = [await come("<b>Ada</b>"), await come("Ben", { options: phone })];
    const nasty = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script> &amp; "'`;
    await ada.say(nasty);
    await ben.seeMessage("<img src=x");
    assert.deepEqual(await ben.messages(), [nasty]);
    assert.equal(await ben.page.locator("[role=log] img, [role=log] script, [role=log] b").count(), 0);

    await ada.say(`see https://example.org/a_(b)?c=<d>, and javascript:alert(1)`);
    await ben.seeMessage("see https://");
    const links = ben.page.locator("[role=log] a");
    assert.deepEqual(await links.evaluateAll((all) => all.map((a) => [a.href, a.rel])), [["https://example.org/a_(b)?c=", "noopener noreferrer nofollow"]]);

    await ada.say("ä".repeat(400));
    await ben.seeMessage("ä".repeat(400));
    await ben.fits();
    await ada.fits();
  });

  test("who comes later sees what was said", async () => {
    const ada = await come("Ada", { room: "garden" });
    for (const text of ["first", "second", "third"]) {
      await ada.say(text);
      await ada.seeMessage(text);
    }
    await ada.close();
    const ben = await visit();
    await ben.enter("Ben", "GARDEN");
    await ben.seeRoom("garden");
    await ben.seeMessage("third");
    assert.deepEqual(await ben.messages(), ["first", "second", "third"]);
    assert.equal(await ben.page.getByText("New", { exact: true }).count(), 0);
  });

  test("errors are said where they belong", async () => {
    const ada = await come("Ada");
    const eve = await visit();
    await eve.enter("ADA");
    await eve.seeError("The name ADA is taken.");
    await eve.enter("");
    await eve.seeError("The name is empty.");
    await eve.enter("x".repeat(25));
    await eve.seeError("The name has 25 characters; at most 24 are allowed.");
    await eve.enter("Eve");
    await eve.seeRoom("lobby");

    await ada.say("   ");
    await ada.seeError("Write something first.");
    await ada.say("x".repeat(501));
    await ada.seeError("Too long: 501 characters, and at most 500 are allowed.");
    assert.equal((await ada.text.inputValue()).length, 501, "what was written is lost");
    await ada.page.getByLabel("Open or join a room").fill("r".repeat(25));
    await ada.page.getByLabel("Open or join a room").press("Enter");
    await ada.seeError("The room's name has 25 characters");

    await ada.blurt("quick", 7);
    await ada.seeError("you are writing faster than people can read");
    await ada.page.waitForTimeout(1000); // the server's limit, on the server's clock
    await ada.button("Try again").first().click();
    await eve.seeMessage("quick 7");
    await ada.button("Try again").waitFor({ state: "detached" });
  });

  test("whoever floods a room is taken out, and can come back", async () => {
    const [ada, ben] = [await come("Ada"), await come("Ben")];
    const dialog = ada.page.getByRole("dialog", { name: "You were taken out of the chat" });
    await ada.blurt("flood", 120);
    await dialog.waitFor();
    await ben.see("Ada left");
    const said = await ada.page.locator(".message[data-state=failed] [role=alert]").allTextContents();
    assert.deepEqual([...new Set(said)].sort(), [
      "Not sent. Too many requests; wait a moment.",
      "Not sent. You are writing faster than people can read; wait a moment.",
      "Not sent. You were taken out of the chat, as too many messages came from you.",
    ]);
    assert.equal(await ada.page.locator("#people-title").textContent(), "Who was here");
    await dialog.getByRole("button", { name: "Come back" }).click();
    await ben.see("Ada is back");
  });

  test("unread messages are counted and marked", async () => {
    const [ada, ben] = [await come("Ada"), await come("Ben")];
    await ada.say("read");
    await ben.seeMessage("read");
    await ben.openRoom("garden");
    for (const text of ["one", "two"]) await ada.say(text);
    await ben.button("lobby 2 unread messages").waitFor();
    assert.match(await ben.page.title(), /^\(2\) #garden/);
    await ben.text.press("Alt+ArrowUp");
    await ben.seeRoom("lobby");
    const lines = await ben.page.locator("[role=log] li").allInnerTexts();
    const mark = lines.findIndex((line) => line.trim() === "New");
    assert.ok(mark > 0 && lines[mark - 1].includes("read") && lines[mark + 1].includes("one"), lines.join(" | "));
    await ben.page.getByRole("button", { name: "lobby", exact: true }).waitFor();
    assert.match(await ben.page.title(), /^#lobby/);

    // Far up in the log, what comes does not move it, and is counted.
    for (let i = 0; i < 5; i++) await ben.say(`line\nby\nline\n${i}`);
    await ben.seeMessage("line\nby\nline\n4");
    await ben.fits();
    await ben.page.locator("#scroll").evaluate((node) => (node.scrollTop = 0));
    await ada.say("down here");
    await ben.button("1 new message").click();
    await ben.page.waitForFunction(() => document.getElementById("jump").hidden);
    await ben.seeMessage("down here");
  });

  for (const [how, end] of [["stops", "stop"], ["crashes", "kill"]]) {
    test(`the server ${how} and comes back`, async () => {
      const [ada, ben] = [await come("Ada"), await come("Ben", { options: phone })];
      await ada.say("before");
      await ben.seeMessage("before");
      await server[end]();
      await ada.see("The server is away. What you write is sent when it is back.");
      await ada.seeConnection("Server away");
      await ben.see("The server is away.");
      await ada.see("Who was here");
      await ada.see("Not known without the server.");
      await ada.say("written while away");
      await ada.see("Waiting for the connection");

      server = await serve(chat.program, server.addr);
      await ada.seeConnection("Connected");
      await ada.seeRoom("lobby");
      await ben.seeRoom("lobby");
      await ben.seeMessage("written while away");
      await ada.seeMessage("written while away");
      for (const person of [ada, ben]) {
        await person.seePeople("Ada", "Ben");
        assert.deepEqual(await person.messages(), ["before", "written while away"]);
        assert.equal(await person.page.locator("#banner").isVisible(), false);
      }
      await ben.say("after");
      await ada.seeMessage("after");
    });
  }

  test("a network that is away: nothing is missing then, nothing is there twice, and nobody has left", async () => {
    const ben = await come("Ben");
    const proxy = await Proxy.to(server.addr);
    try {
      const ada = keep(await ChatPerson.visit(browser, proxy.url));
      await ada.enter("Ada");
      await ada.seeRoom("lobby");
      await ada.say("before");
      await ben.seeMessage("before");

      await ada.context.setOffline(true);
      proxy.away();
      await ada.see("The server is away. What you write is sent when it is back.");
      await ben.say("said while she is away");
      await ben.seeMessage("said while she is away");
      await ada.say("written while away");
      await ada.see("Waiting for the connection");
      await ben.seePeople("Ada", "Ben");
      proxy.lead(server.addr);
      await ada.context.setOffline(false);
      await ada.seeMessage("written while away");
      await ben.seeMessage("written while away");
      await ada.seeConnection("Connected");

      // When it is away for a moment only, the page does not even say so.
      await ada.page.evaluate(() => {
        const real = setTimeout;
        globalThis.setTimeout = (what, ms, ...more) => real(what, ms === 1500 ? 1e8 : ms, ...more);
        globalThis.flashes = 0;
        const look = new MutationObserver(() => (globalThis.flashes += document.getElementById("banner").hidden ? 0 : 1));
        look.observe(document.getElementById("banner"), { attributes: true });
      });
      proxy.cut();
      await ben.say("said in a moment");
      await ada.seeMessage("said in a moment");
      assert.equal(await ada.page.evaluate(() => globalThis.flashes), 0, "the banner was shown");

      for (const person of [ada, ben]) {
        assert.deepEqual(await person.messages(), ["before", "said while she is away", "written while away", "said in a moment"]);
        assert.equal(await person.page.getByText(/ left$| is back$/).count(), 0, "somebody is said to have left");
        await person.seePeople("Ada", "Ben");
      }
    } finally {
      proxy.close();
    }
  });

  test("the server is away when the page is opened, and when one wants in", async () => {
    const ada = await visit();
    await server.stop();
    await ada.page.locator("#welcome-connection", { hasText: "Server away" }).waitFor();
    await ada.enter("Ada");
    await ada.seeError("The server cannot be reached right now.");
    server = await serve(chat.program, server.addr);
    await ada.page.locator("#welcome-connection", { hasText: "Connected" }).waitFor();
    await ada.enter("Ada");
    await ada.seeRoom("lobby");
  });

  test("a name that was taken in the meantime", async () => {
    const ada = await come("Ada");
    await server.kill();
    await ada.see("The server is away.");
    await ada.context.setOffline(true);
    server = await serve(chat.program, server.addr);
    await come("Ada");
    await ada.context.setOffline(false);
    await ada.see("While you were away, somebody took the name Ada. Choose another.");
    await ada.enter("Ada 2");
    await ada.seeRoom("lobby");
  });

  test("a reload comes back to the same rooms", async () => {
    const [ada, ben] = [await come("Ada"), await come("Ben")];
    await ada.openRoom("garden");
    await ada.say("kept");
    await ada.seeMessage("kept");
    await ada.page.reload();
    await ada.seeRoom("garden");
    await ada.seeMessage("kept");
    await ada.button("lobby").first().waitFor();
    await ben.seePeople("Ada", "Ben");
    await ben.see("Ada is back");
  });

  test("a second tab takes over, and the first says so", async () => {
    const [ada, ben] = [await come("Ada"), await come("Ben")];
    const tab = await ada.another(server.url);
    await tab.seeRoom("lobby");
    const dialog = ada.page.getByRole("dialog", { name: "This chat is open somewhere else" });
    await dialog.waitFor();
    assert.equal(await ben.page.getByText("Ada left").count(), 0, "the others saw somebody leave");
    await dialog.getByRole("button", { name: "Use it here" }).click();
    await ada.seeConnection("Connected");
    await ada.say("here again");
    await ben.seeMessage("here again");
    await tab.page.getByRole("dialog", { name: "This chat is open somewhere else" }).waitFor();
    assert.deepEqual(tab.complaints, []);
  });

  test("signing out", async () => {
    const [ada, ben] = [await come("Ada"), await come("Ben")];
    await ada.button("Leave the chat").click();
    await ada.page.getByRole("heading", { name: "nano chat" }).waitFor();
    await ben.see("Ada left");
    assert.equal(await ada.page.getByLabel("Your name").inputValue(), "Ada");
    await ada.page.reload();
    await ada.enter("Somebody else");
    await ada.seeRoom("lobby");
  });

  test("a link leads into its room", async () => {
    const ada = await come("Ada", { room: "tea & cake" });
    await ada.context.grantPermissions(["clipboard-write"]);
    await ada.button("Copy the link to this room").click();
    await ada.see("The link is copied. It works on this machine only.");
    assert.match(ada.page.url(), /#tea%20%26%20cake$/);
    const ben = keep(await ChatPerson.visit(browser, ada.page.url()));
    await ben.enter("Ben");
    await ben.seeRoom("tea & cake");
  });

  test("everything by keyboard", async () => {
    const ada = await visit();
    const { keyboard } = ada.page;
    await keyboard.type("Ada"); // the name has the focus
    await keyboard.press("Enter");
    await ada.seeRoom("lobby");
    await keyboard.type("hello"); // now the message has it
    await keyboard.press("Shift+Enter");
    await keyboard.type("again");
    await keyboard.press("Enter");
    await ada.seeMessage("hello\nagain");
    await ada.openRoom("garden");
    await keyboard.press("Alt+ArrowDown");
    await ada.seeRoom("lobby");
    for (let i = 0, seen = new Set(); i < 40; i++) {
      await keyboard.press("Tab");
      const [id, shown] = await ada.page.evaluate(() => {
        const node = document.activeElement;
        const { width, height } = node.getBoundingClientRect();
        return [node.id || node.textContent.trim(), node === document.body || (width > 0 && height > 0)];
      });
      assert.ok(shown, `${id} has the focus and cannot be seen`);
      seen.add(id);
      if (i === 39) for (const want of ["new-room", "theme", "sign-out", "leave-room", "text", "send"]) assert.ok(seen.has(want), `${want} is not reached: ${[...seen]}`);
    }
  });

  test("on a phone", async () => {
    const [ada, ben] = [await come("Ada", { options: phone }), await come("Ben")];
    await ben.openRoom("garden");
    await ada.fits();
    await ada.text.fill("from my phone");
    await ada.button("Send").tap();
    await ada.seeMessage("from my phone");

    const rooms = ada.page.getByRole("navigation", { name: "Rooms" });
    await ada.button("Rooms").tap();
    await rooms.getByRole("button", { name: "garden 1 person there" }).tap();
    await ada.seeRoom("garden");
    await ada.page.waitForFunction(() => getComputedStyle(document.getElementById("sidebar")).visibility === "hidden");
    await ada.button("People here").tap();
    await ada.page.getByRole("complementary").getByText("Ben").waitFor();
    await ada.page.getByRole("complementary").getByRole("button", { name: "Close" }).tap();
    await ben.button("lobby 1 unread message").click();
    await ben.say("hi phone");
    await ada.button("Rooms, 1 unread message elsewhere").waitFor();
    await ada.fits();

    // What is tapped must be large enough for a thumb.
    const small = await ada.page.evaluate(() =>
      [...document.querySelectorAll("button, input, textarea")]
        .map((node) => [node.id || node.textContent.trim(), node.getBoundingClientRect()])
        .filter(([, { width, height }]) => width > 0 && (width < 44 || height < 44))
        .map(([name, { width, height }]) => `${name}: ${width} x ${height}`),
    );
    assert.deepEqual(small, []);
  });

  test("light and dark", async () => {
    const ada = await come("Ada", { options: { ...desktop, colorScheme: "dark" } });
    const back = () => ada.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await back();
    await ada.button("Colours: as the system").click();
    await ada.button("Colours: light").waitFor();
    assert.notEqual(await back(), dark);
    await ada.page.reload();
    await ada.button("Colours: light").click();
    await ada.button("Colours: dark").waitFor();
    assert.equal(await back(), dark);
  });

  test("pictures for the README", { skip: !process.env.SCREENSHOTS }, async () => {
    const ada = await come("Ada", { room: "lobby" });
    const ben = await come("Ben 🦊");
    const chiara = await come("Chiara", { options: { ...phone, colorScheme: "dark" } });
    const dev = await come("Dev");
    const said = [
      [ada, "Good morning! Is the new build up?"],
      [ben, "Just went live ☕"],
      [ben, "One node. Whoever joins later sees the last 50 messages."],
      [chiara, "Nice. The notes are at https://example.org/notes?version=0.6"],
      [dev, "Tried it from the train, it kept reconnecting by itself"],
      [chiara, "🎉🎉"],
      [ada, "Pull the plug on the server if you like: what you write meanwhile is sent when it is back."],
    ];
    for (const [who, text] of said) {
      await who.say(text);
      await ada.seeMessage(text);
      await chiara.seeMessage(text);
    }
    await dev.openRoom("music");
    await ben.openRoom("design review");
    await ada.openRoom("design review");
    await ben.say("The mock-ups are in");
    await ada.seeMessage("The mock-ups are in");
    await dev.openRoom("lobby");
    await dev.say("On my way to the platform now");
    await ada.button("lobby 1 unread message").click();
    await chiara.seeMessage("On my way");
    await ben.openRoom("lobby");
    await ben.page.waitForTimeout(1100); // the server passes it on once a second
    await ben.text.pressSequentially("Me");
    await ada.see("Ben 🦊 is typing…");
    await ada.picture("chat-desktop");
    await chiara.see("Ben 🦊 is typing…");
    await chiara.picture("chat-phone");
  });
});
