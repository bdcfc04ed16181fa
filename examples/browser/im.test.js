// The messenger as people use it, in a real Chromium against the real server.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { ImPerson } from "./im-person.js";
import { Proxy, build, launch, phone, start } from "./lib.js";

// serve runs the messenger on a folder, and waits for the address that it prints.
async function serve(program, data, addr = "127.0.0.1:0") {
  const server = await start(program, ["--addr", addr, "--data", data, "--live-tick", "100ms", "--quiet"], /open (http:\/\/\S+)\s/);
  server.url = server.match[1];
  server.addr = new URL(server.url).host;
  return server;
}

// square is a picture as a file: so large, in one colour.
const square = (page, side, colour) => page.evaluate(async ([size, fill]) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size * 0.75 });
  const context = canvas.getContext("2d");
  context.fillStyle = fill;
  context.fillRect(0, 0, size, size);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return [...new Uint8Array(await blob.arrayBuffer())];
}, [side, colour]).then((bytes) => ({ name: "square.png", mimeType: "image/png", buffer: Buffer.from(bytes) }));

const LONG = 100_000; // messages in the channel of everybody

describe("messenger", { timeout: 600_000 }, () => {
  let im, browser, server, data, ann, bob, eve;

  before(async () => {
    im = await build("im");
    data = await mkdtemp(path.join(tmpdir(), "nano-im-data-"));
    await promisify(execFile)(im.program, ["fill", "--data", data, "--messages", String(LONG)]);
    server = await serve(im.program, data);
    browser = await launch();
    ann = await ImPerson.come(browser, server.url, "Ann Lee");
    bob = await ImPerson.come(browser, server.url, "Bob Marsh");
    eve = await ImPerson.come(browser, server.url, "<b>Eve</b>", { ...phone, reducedMotion: "no-preference" });
    // As on a phone that has come by http, from the same network.
    await eve.page.evaluate(() => delete Crypto.prototype.randomUUID);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await im?.remove();
    await rm(data, { recursive: true, force: true });
  });
  afterEach(() => {
    for (const person of [ann, bob, eve]) assert.deepEqual(person.complaints, [], "the browser complains");
  });

  // meet has people meet in a group of their own.
  const meet = async (title, first, ...others) => {
    const id = await first.page.evaluate(async ([name, names]) => {
      const { adopt, request } = await import("/connection.js");
      return adopt(await request("im.create", { title: name, invite: names.map((n) => n.toLowerCase()) })).id;
    }, [title, others.map((person) => person.name)]);
    for (const person of others) {
      await person.channel(title).waitFor({ state: "attached" });
      await person.page.evaluate(async (channel) => {
        const { adopt, request } = await import("/connection.js");
        adopt(await request("im.accept", { channel }));
      }, id);
    }
    for (const person of [first, ...others]) await person.openChannel(title);
  };

  test("two people talk", async () => {
    await ann.talkTo("Bob Marsh");
    await bob.openChannel("Ann Lee");
    await bob.text.pressSequentially("Hel");
    await ann.see("Bob Marsh is typing…");
    await bob.say("Hello Ann");
    await ann.seeMessage("Hello Ann");
    await ann.page.waitForFunction(() => document.getElementById("typing").textContent === "");
    await bob.seeState("Hello Ann", "read");
    await ann.say("Hello\nBob 👋");
    await bob.seeMessage("Bob 👋");
    for (const person of [ann, bob]) assert.deepEqual(await person.texts(), ["Hello Ann", "Hello\nBob 👋"]);

    // Who goes on by Tab passes the buttons of messages by; from a message one gets at them.
    const focused = () => ann.page.evaluate(() => document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.className);
    await ann.page.locator("#scroll").focus();
    await ann.page.keyboard.press("Tab");
    assert.equal(await focused(), "attach");
    await ann.page.locator("#scroll").focus();
    const way = [];
    for (const key of ["ArrowUp", "Tab", "Tab", "Tab"]) {
      await ann.page.keyboard.press(key);
      way.push(await focused());
    }
    assert.deepEqual(way, ["row", "Reply", "More", "attach"]);

    // Who looks elsewhere sees that something is new, and what; and then from where on it is.
    await ann.openChannel("Everybody");
    await bob.say("Are you there?");
    await bob.seeState("Are you there?", "sent");
    await bob.say("It is about lunch");
    await ann.channel("Bob Marsh").locator(".badge", { hasText: "2" }).waitFor();
    await ann.channel("Bob Marsh").getByText("It is about lunch").waitFor();
    assert.match(await ann.page.title(), /^\(2\) Everybody/);
    await ann.openChannel("Bob Marsh");
    await ann.message("Are you there?").getByText("New messages").waitFor();
    await bob.seeState("It is about lunch", "read");
    assert.equal(await ann.channel("Bob Marsh").locator(".badge").count(), 0);
  });

  test("what people write stays text", async () => {
    const nasty = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script> &amp; "'`;
    await meet("<i>Garden</i>", eve, ann);
    await eve.say(nasty);
    await ann.seeMessage("<img src=x");
    assert.deepEqual(await ann.texts(), [nasty]);
    assert.equal(await ann.page.locator("#feed img, #feed script, #feed b, .channel b, #title i").count(), 0);
    await ann.say("see https://example.org/a_(b)?c=<d>, and javascript:alert(1)");
    await eve.seeMessage("see https://");
    const links = await eve.page.locator("#feed a").evaluateAll((all) => all.map((a) => [a.href, a.rel]));
    assert.deepEqual(links, [["https://example.org/a_(b)?c=", "noopener noreferrer nofollow"]]);
    await ann.say("ä".repeat(900));
    await eve.seeMessage("ä".repeat(900));
    await eve.fits();
    await ann.fits();
    assert.doesNotMatch(await ann.page.title(), /owned/);
    await eve.button(/^All channels/).click();
    await eve.channel("Garden").waitFor(); // the list is what a phone shows then
    await eve.fits();
  });

  test("pictures, replies, corrections, mentions, search", async () => {
    await meet("Meadows", ann, bob);
    await ann.page.locator("#file").setInputFiles(await square(ann.page, 900, "#2a7"));
    await ann.page.getByRole("group", { name: "Picture" }).waitFor();
    await ann.say("Look at this meadow");
    await ann.seeState("meadow", "read");
    const picture = bob.message("meadow").getByRole("button", { name: /Picture: Look/ });
    await picture.locator("img").evaluate((image) => image.decode());
    await picture.click();
    await bob.page.waitForFunction(() => document.getElementById("viewer-image").naturalWidth === 900);
    await bob.page.keyboard.press("Escape");

    await bob.act("meadow", "Reply");
    await bob.say("So green");
    await ann.message("So green").getByRole("button", { name: /Reply to Ann Lee\s*Picture: Look/ }).waitFor();
    await bob.text.press("ArrowUp");
    await bob.see("Edit your message");
    await bob.say("So very green");
    await ann.message("So very green").getByText("edited").waitFor();
    await bob.say("This is wrong");
    await ann.seeMessage("This is wrong");
    await bob.act("This is wrong", "Delete");
    await bob.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await ann.page.locator(".bubble", { hasText: "Deleted message" }).waitFor();
    assert.deepEqual(await ann.texts(), ["Look at this meadow", "So very green"]);

    await ann.text.pressSequentially("Hi @bo");
    await ann.page.getByRole("option", { name: "Bob Marsh" }).waitFor();
    await ann.text.press("Enter");
    await ann.text.pressSequentially("come here");
    await ann.text.press("Enter");
    await bob.page.locator(".mention.me", { hasText: "@Bob Marsh" }).waitFor();

    await bob.page.keyboard.press("Control+k");
    await bob.page.getByLabel("Search in messages").fill("mead");
    await bob.page.locator(".hit mark", { hasText: "mead" }).waitFor();
    assert.equal(await bob.page.locator(".hit").count(), 1);
    await bob.page.locator(".hit").click();
    await bob.page.locator(".row.flash", { hasText: "meadow" }).waitFor();
  });

  test("a group: invited, talked to, renamed, left", async () => {
    await ann.openChannel("Everybody");
    await ann.button("Members and settings").click();
    await ann.page.locator("#members li", { hasText: "Bob Marsh" }).getByText("online").waitFor();
    await ann.button("Members and settings").click();
    await ann.group("Hut", "Bob Marsh", "<b>Eve</b>");
    await bob.openChannel("Hut");
    await bob.see("You are invited to the group Hut.");
    await bob.button("Accept").click();
    await bob.say("Glad to be here");
    await ann.seeMessage("Glad to be here");
    await bob.seeState("Glad to be here", "read");
    await eve.openChannel("Hut");
    await eve.button("Decline").click();
    await eve.channel("Hut").waitFor({ state: "detached" });

    await ann.button("Members and settings").click();
    await ann.page.locator("#members li", { hasText: "Bob Marsh" }).getByText("online").waitFor();
    await ann.page.getByLabel("Name of the group").first().fill("Orchard");
    await ann.button("Rename").click();
    await bob.page.getByRole("heading", { level: 1, name: "Orchard" }).waitFor();
    await bob.button("Members and settings").click();
    await bob.button("Leave the group").click();
    await bob.page.getByRole("button", { name: "Leave", exact: true }).click();
    await bob.channel("Orchard").waitFor({ state: "detached" });
    await ann.button("Members and settings").click();
    await ann.button("Members and settings").click();
    await ann.page.locator("#members li", { hasText: "Bob Marsh" }).waitFor({ state: "detached" });
    await ann.page.locator("#subtitle", { hasText: "1 member" }).waitFor();
    await ann.button("Members and settings").click();
  });

  test("a live room", async () => {
    for (const person of [ann, eve]) await person.openChannel("Live");
    await ann.page.locator("#live-viewers", { hasText: "2 viewers" }).waitFor();
    await ann.page.getByLabel("Say something").fill("What an evening <b>");
    await ann.button("Say it").click();
    await eve.page.locator(".fly .bullet", { hasText: "What an evening <b>" }).waitFor();
    await eve.page.locator(".says p", { hasText: "What an evening <b>" }).waitFor();
    for (let i = 0; i < 3; i++) await eve.button(/Like/).click();
    await ann.page.locator("#live-likes", { hasText: "3" }).waitFor();
    assert.equal(await ann.page.locator(".says p", { hasText: "What an evening" }).count(), 1);
    await eve.fits();
    await eve.page.locator("#live").getByRole("button", { name: "All channels" }).click();
    await ann.page.locator("#live-viewers", { hasText: "1 viewer" }).waitFor();
    await ann.page.locator("#rooms", { hasText: "1 viewer" }).waitFor();
  });

  test("new messages while one reads higher up", async () => {
    for (const person of [ann, bob]) await person.openChannel("Everybody");
    await ann.page.locator("#scroll").focus();
    await ann.page.keyboard.press("End");
    await ann.page.mouse.move(800, 300);
    await ann.page.mouse.wheel(0, -2500);
    const jump = ann.page.locator("#jump");
    await jump.waitFor();
    const first = await ann.page.evaluate(() => {
      const row = [...document.querySelectorAll("#feed .row:not(.blank)")].find((r) => r.getBoundingClientRect().top > 200);
      return row.querySelector(".text").textContent.slice(0, 200);
    });
    const top = await ann.where(first);
    await bob.say("something new");
    await ann.page.locator("#jump", { hasText: "1" }).waitFor();
    await bob.say("and more");
    await ann.page.locator("#jump", { hasText: "2" }).waitFor();
    assert.ok(Math.abs((await ann.where(first)) - top) < 1.5, "what is read moves when something new comes");
    await jump.click();
    await ann.message("something new").getByText("New messages").waitFor();
    await ann.page.locator("#scroll").focus();
    await ann.page.keyboard.press("End");
    await jump.waitFor({ state: "hidden" });
    await ann.channel("Everybody").locator(".badge").waitFor({ state: "detached" });
  });

  test("offline and back: nothing is missing, nothing is there twice", async () => {
    await meet("Away", ann, bob);
    await ann.say("before");
    await bob.seeMessage("before");
    await server.kill();
    await ann.see("You are offline");
    for (const text of ["one", "two", "three"]) await ann.say(text);
    await ann.seeState("three", "waiting");
    await bob.say("from Bob");
    await bob.seeState("from Bob", "waiting");
    server = await serve(im.program, data, server.addr);
    await bob.seeState("from Bob", "read");
    await ann.seeState("three", "read");
    // A page that is closed while something waits sends it when it is opened again.
    await server.kill();
    await ann.see("You are offline");
    await ann.say("four");
    await ann.seeState("four", "waiting");
    server = await serve(im.program, data, server.addr);
    await ann.page.reload();
    await ann.seeState("four", "read");
    await bob.seeMessage("four");
    const [all, same] = await Promise.all([ann.texts(), bob.texts()]);
    assert.deepEqual(all, same);
    assert.deepEqual([...all].sort(), ["before", "four", "from Bob", "one", "three", "two"]);
    assert.ok(all.indexOf("one") < all.indexOf("two") && all.indexOf("two") < all.indexOf("three"), `the order is ${all}`);
  });

  test("a connection that is lost: what is read stays where it is, and nothing is missing or there twice", async () => {
    const proxy = await Proxy.to(server.addr);
    const dora = await ImPerson.come(browser, proxy.url, "Dora Hill");
    try {
      await meet("Meadow walk", bob, dora);
      await bob.say("before");
      await dora.seeMessage("before");
      const top = await dora.where("before");
      await dora.context.setOffline(true);
      proxy.away();
      await dora.see("You are offline");
      assert.ok(Math.abs((await dora.where("before")) - top) < 1.5, "what is read moves when the banner comes");
      await bob.say("said while she is away");
      await dora.say("written while away");
      await dora.seeState("written while away", "waiting");
      proxy.lead(server.addr);
      await dora.context.setOffline(false);
      await dora.seeMessage("said while she is away");
      await bob.seeMessage("written while away");
      await dora.page.locator("#banner").waitFor({ state: "hidden" });

      // When it is away for a moment only, the page does not even say so. It does not begin anew,
      // either: the session goes on.
      await dora.page.evaluate(async () => {
        const { events } = await import("/store.js");
        const real = setTimeout;
        globalThis.setTimeout = (what, ms, ...more) => real(what, ms === 1600 ? 1e8 : ms, ...more);
        globalThis.seen = { banners: 0, starts: 0 };
        events.on("started", () => globalThis.seen.starts++);
        const banner = document.getElementById("banner");
        new MutationObserver(() => (globalThis.seen.banners += banner.hidden ? 0 : 1)).observe(banner, { attributes: true });
      });
      proxy.cut();
      await bob.say("said in a moment");
      await dora.seeMessage("said in a moment");
      await dora.say("written in a moment");
      await bob.seeMessage("written in a moment");
      assert.deepEqual(await dora.page.evaluate(() => globalThis.seen), { banners: 0, starts: 0 });
      const said = ["before", "said while she is away", "said in a moment", "written in a moment", "written while away"];
      for (const person of [bob, dora]) assert.deepEqual((await person.texts()).sort(), [...said].sort());
      assert.deepEqual(dora.complaints, []);
    } finally {
      await dora.close();
      proxy.close();
    }
  });

  test("one connection a platform: the older page says so, and comes back", async () => {
    const twin = new ImPerson(ann.context);
    await twin.open(server.url);
    await ann.see("The messenger is open somewhere else");
    await ann.button("Use it here").click();
    await ann.connected();
    await twin.see("The messenger is open somewhere else");
    assert.deepEqual(twin.complaints, []);
    await twin.page.close();
  });

  test("the pictures of the documentation", { skip: !process.env.SCREENSHOTS }, async () => {
    const dora = await ImPerson.come(browser, server.url, "Dora Hill", { ...phone, colorScheme: "dark" });
    await meet("Mountain hut", ann, bob, dora);
    await ann.say("Who comes up on Saturday? The snow is gone below 1,800 m, and the hut has been open since last week.");
    await bob.say("I do!");
    await bob.say("Shall I bring the big rope?");
    await dora.message("Who comes up").locator(".text").tap();
    await dora.message("Who comes up").getByRole("button", { name: "Reply" }).click();
    await dora.say("Me too, on the early train");
    const scene = await ann.page.evaluate(async () => {
      const image = new Image();
      image.src = "/scene.svg";
      await image.decode();
      const canvas = Object.assign(document.createElement("canvas"), { width: 960, height: 540 });
      canvas.getContext("2d").drawImage(image, 0, 0, 960, 540);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
      return [...new Uint8Array(await blob.arrayBuffer())];
    });
    await dora.page.locator("#file").setInputFiles({ name: "lake.jpg", mimeType: "image/jpeg", buffer: Buffer.from(scene) });
    await dora.page.getByRole("group", { name: "Picture" }).waitFor();
    await dora.say("It looked like this last night");
    await ann.seeMessage("It looked like this");
    await ann.text.pressSequentially("@bo");
    await ann.page.getByRole("option", { name: "Bob Marsh" }).click();
    await ann.text.pressSequentially("yes please, the 60 m one");
    await ann.button("Send").click();
    await ann.seeState("yes please", "read");
    for (const person of [ann, dora]) await person.message("It looked").locator("img").evaluate((image) => image.decode());
    await bob.text.pressSequentially("It is");
    await ann.page.locator("#typing", { hasText: "Bob Marsh is typing…" }).waitFor();
    await ann.picture("im-desktop");
    await dora.picture("im-phone");
    await dora.close();

    await ann.page.emulateMedia({ reducedMotion: "no-preference" });
    for (const person of [ann, bob]) await person.openChannel("Live");
    await bob.page.evaluate(async () => {
      const { request } = await import("/connection.js");
      for (const text of ["what a view", "so calm", "where is that?", "hello from Oslo", "the colours!!", "wow", "is this live?", "greetings from Graz", "I was there in May", "beautiful", "good evening everybody"]) {
        await request("live.say", { channel: "live", cid: crypto.randomUUID(), text });
      }
    });
    await ann.page.getByLabel("Say something").fill("It is beautiful here");
    await ann.button("Say it").click();
    await ann.page.locator(".says p", { hasText: "good evening" }).waitFor();
    // The picture is taken at a moment at which all of them are on their way.
    await ann.page.evaluate(() => {
      document.getAnimations().filter((a) => a.effect.target.classList.contains("bullet")).forEach((a, i) => {
        a.pause();
        a.currentTime = 900 + ((i * 1733) % 3600);
      });
    });
    await ann.picture("im-live");
    await ann.page.emulateMedia({ reducedMotion: "reduce" });
  });

  test(`${LONG} messages: to the top and back`, async (t) => {
    await ann.openChannel("Everybody");
    await ann.page.locator("#scroll").focus();
    await ann.page.keyboard.press("End");
    await ann.page.waitForFunction(() => document.querySelectorAll("#feed .row:not(.blank)").length > 10);
    // Step by step upwards, beyond what was loaded: what is seen moves as far as one scrolls, and
    // no further.
    const { jumps, frames, most } = await ann.page.evaluate(async () => {
      const box = document.getElementById("scroll");
      const frame = () => new Promise(requestAnimationFrame);
      const found = { jumps: [], frames: [], most: 0 };
      let last = await frame();
      for (let i = 0; i < 240; i++) {
        const row = [...document.querySelectorAll("#feed .row")].find((r) => r.getBoundingClientRect().top > box.getBoundingClientRect().top + 100);
        const was = row.getBoundingClientRect().top;
        const from = box.scrollTop;
        box.scrollTop = from - 90;
        const moved = from - box.scrollTop;
        const now = await frame();
        found.frames.push(now - last);
        last = await frame(); // what came before it is drawn
        const is = row.isConnected && row.getBoundingClientRect().top;
        if (is !== false && Math.abs(is - was - moved) > 1.5) found.jumps.push([i, is - was, moved]);
        found.most = Math.max(found.most, document.getElementsByTagName("*").length);
      }
      return found;
    });
    const median = frames.sort((a, b) => a - b)[frames.length >> 1];
    t.diagnostic(`frames: median ${median.toFixed(1)} ms, p95 ${frames[Math.floor(frames.length * 0.95)].toFixed(1)} ms; nodes at most ${most}`);
    assert.deepEqual(jumps, []);

    await ann.page.keyboard.press("Home");
    await ann.page.locator("#feed .row[data-n='1']").waitFor();
    await ann.page.keyboard.press("End");
    await ann.page.waitForFunction((n) => [...document.querySelectorAll("#feed .row")].some((r) => Number(r.dataset.n) >= n), LONG);
    const nodes = Math.max(most, await ann.nodes());
    assert.ok(nodes < 2500, `${nodes} nodes`);
    const held = await ann.page.evaluate(async () => (await import("/store.js")).state.active.messages.size);
    assert.ok(held <= 2500, `${held} messages are held`);
  });
});
