// The console's playground in a real Chromium: a form made of a route's type, what it sends, the
// answer, and pushes.
//
//   LOOKS=folder node --test playground.test.js    writes pictures, too
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import axe from "axe-core";
import { Person, build, desktop, launch, phone, start } from "./lib.js";

process.env.NANO_CONSOLE_TOKEN = "only for this test, not for you";

class Developer extends Person {
  static async signIn(browser, url, options) {
    const developer = await this.visit(browser, `${url}/console/login`, options);
    await developer.page.getByLabel("Token").fill(process.env.NANO_CONSOLE_TOKEN);
    await developer.button("Sign in").click();
    await developer.page.getByRole("link", { name: "Playground", exact: true }).click();
    await developer.page.getByRole("heading", { level: 1, name: "Playground" }).waitFor();
    await developer.page.getByText("It answers requests.").waitFor(); // the form is there
    return developer;
  }

  field(label) {
    return this.page.locator(".play").getByLabel(label);
  }

  route(name) {
    return this.page.getByLabel("Route", { exact: true }).fill(name);
  }

  // happened waits for an entry of a kind, and returns what it shows.
  async happened(kind, title) {
    const entry = this.page.locator(`.happened [data-kind=${kind}]`, { hasText: title }).first();
    await entry.waitFor();
    return entry.locator("pre").textContent();
  }

  async look(name) {
    if (!(await this.page.evaluate(() => "axe" in globalThis))) await this.page.evaluate(axe.source);
    for (const colorScheme of ["light", "dark"]) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      if (process.env.LOOKS) await this.page.screenshot({ path: `${process.env.LOOKS}/playground-${name}-${colorScheme}.png` });
      const { violations } = await this.page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
      const found = violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} at ${target}: ${failureSummary}`));
      assert.deepEqual(found, [], `${name}, ${colorScheme}`);
    }
    await this.fits();
  }
}

describe("playground", { timeout: 600_000 }, () => {
  let built, server, browser, url;

  before(async () => {
    built = await build("browser/play");
    server = await start(built.program, [], /open (http\S+)/);
    url = server.match[1];
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await built?.remove();
  });

  for (const [device, options] of [["desktop", desktop], ["phone", phone]]) {
    test(`a request by its form, on a ${device}`, async () => {
      const dev = await Developer.signIn(browser, url, options);
      const { page } = dev;
      await dev.button("Request").click();
      await page.locator("#toast", { hasText: "Connect first." }).waitFor();
      await dev.button("Connect").click();
      await page.getByText("Connected", { exact: true }).waitFor();
      await dev.field(/^name/).fill("box");
      await dev.field(/^color/).selectOption("green");
      await dev.field(/^count/).fill("300");
      await dev.field(/^big/).fill("18446744073709551615"); // more digits than a number of JavaScript has
      await dev.field(/^gift/).selectOption("true");
      await dev.field(/^city/).fill("Ulm");
      await dev.button("Request").click();
      await page.locator(".field-error", { hasText: "at most 127" }).waitFor();
      await dev.look(`${device}-wrong`);
      await dev.field(/^count/).fill("3");
      await dev.field(/^tags/).check();
      await page.getByRole("group", { name: "tags" }).getByRole("button", { name: "Add" }).click();
      await dev.field(/^tags 1/).fill("new");
      await dev.field(/^parts/).check();
      await page.getByRole("group", { name: "parts" }).getByRole("button", { name: "Add" }).click();
      await dev.field(/^Key 1/).fill("lid");
      await dev.field(/^Value 1/).fill("2");
      await dev.field(/^more/).fill('[null, {"a": 1}]');
      await dev.button("Request").click();
      const want = '{"name":"box","color":"green","count":3,"big":18446744073709551615,"gift":true,"tags":["new"],"to":{"city":"Ulm"},"parts":{"lid":2},"more":[null,{"a":1}]}';
      assert.equal(await dev.happened("answer", "shop.order answered after"), want);
      assert.equal(await dev.happened("push", "shop.ordered"), want);
      await dev.look(`${device}-answered`);

      // The same as JSON, which begins with what the form holds.
      await dev.field(/^nested/).check();
      await dev.field(/^big/).first().fill("7");
      await page.getByLabel("Write JSON").check();
      await page.getByLabel("Payload as JSON").fill('{"name":"raw"');
      await dev.button("Request").click();
      await page.locator("#toast", { hasText: "no JSON" }).waitFor();
      await page.getByLabel("Payload as JSON").fill('{"name":"raw","nested":{"name":"in"}}');
      await dev.button("Request").click();
      await page.locator(".happened [data-kind=answer]", { hasText: '"raw"' }).waitFor();
      assert.equal(JSON.parse(await dev.happened("answer", '"raw"')).nested.name, "in");

      await dev.route("shop.refuse");
      await dev.button("Request").click();
      assert.equal(await dev.happened("error", "shop.refuse failed after"), "sold_out: there is nothing left");
      await page.getByLabel("Show the pushes of another route").fill("shop.waved");
      await dev.button("Show").click();
      await dev.route("shop.wave");
      await dev.button("Notify").click();
      assert.deepEqual(JSON.parse(await dev.happened("push", "shop.waved")), { back: true });
      assert.equal(await dev.button("Request").count(), 0, "a route for notifies can be requested");
      await dev.button("Disconnect").click();
      await page.locator(".happened [data-kind=end]").waitFor();
      assert.deepEqual(dev.complaints, [], "the browser complains");
    });
  }
});

// A gate has no routes of its own, and the page knows no protobuf: the backend says what it takes,
// and makes and reads its payloads.
describe("playground of a cluster", { timeout: 600_000 }, () => {
  let built, server, browser;

  before(async () => {
    built = await build("browser/play");
    server = await start(built.program, ["-cluster"], /open (http\S+)/);
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await built?.remove();
  });

  test("a protobuf message by its form, at a backend", async () => {
    const dev = await Developer.signIn(browser, server.match[1], phone);
    await dev.button("Connect").click();
    await dev.page.getByText("Connected", { exact: true }).waitFor();
    await dev.field(/^kind/).selectOption("TYPE_INT32");
    await dev.field(/^number/).fill("2147483648");
    await dev.button("Request").click();
    await dev.page.locator(".field-error", { hasText: "at most 2147483647" }).waitFor();
    await dev.field(/^number/).fill("7");
    await dev.field(/^name/).fill("id");
    await dev.field(/^packed/).selectOption("true");
    await dev.button("Request").click();
    const answer = JSON.parse(await dev.happened("answer", "types.keep answered after"));
    assert.deepEqual({ kind: answer.kind, number: answer.number, name: answer.name, packed: answer.packed }, { kind: "TYPE_INT32", number: 7, name: "id", packed: true });
    assert.deepEqual(JSON.parse(await dev.happened("push", "types.kept")), answer);
    await dev.look("protobuf");

    // What no message can be made of is said by the node, and is not sent.
    await dev.page.getByLabel("Write JSON").check();
    await dev.page.getByLabel("Payload as JSON").fill('{"no such field": 1}');
    await dev.button("Request").click();
    await dev.page.locator("#toast", { hasText: "no such field" }).waitFor();
    assert.deepEqual(dev.complaints.filter((text) => !text.includes("400")), [], "the browser complains");
  });
});
