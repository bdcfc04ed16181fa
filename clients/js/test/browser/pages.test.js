// In a real Chromium against a real node.
//
//   CHROMIUM=/path/to/chromium npm test
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { build, start } from "../helper.js";

const switches = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

describe("in a browser", { timeout: 120_000 }, () => {
  let built, browser, server, page, complaints;

  before(async () => {
    built = await build();
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: switches });
  });
  after(async () => {
    await browser?.close();
    await built?.remove();
  });
  afterEach(async () => {
    await page?.context().close();
    await server?.kill();
  });

  async function visit(name) {
    server = await start(built.program);
    const context = await browser.newContext();
    context.setDefaultTimeout(20_000);
    page = await context.newPage();
    complaints = [];
    page.on("pageerror", (err) => complaints.push(String(err.stack ?? err)));
    page.on("console", (message) => {
      // The browser logs each attempt at a server that is away.
      if (["error", "warning"].includes(message.type()) && !/ERR_CONNECTION_REFUSED|WebSocket connection to .* failed|favicon/.test(message.text() + message.location().url)) {
        complaints.push(message.text());
      }
    });
    return page.goto(`${server.url}/${name}`);
  }
  const shown = async (text) => {
    await page.waitForFunction((want) => document.getElementById("log").textContent.includes(want), text).catch(() => {});
    return (await page.locator("#log").textContent()).trim().split("\n");
  };

  test("the script's file, used as v0.5's pages do", async () => {
    await visit("inline.html");
    assert.deepEqual(await shown("done"), ["hello Ada", "answer hi", "push there", "kick enough", "disconnect", "answer own format", "done"]);
    assert.deepEqual(complaints, []);
  });

  test("module, script and workers under default-src 'self', and a restart of the node", async () => {
    const response = await visit("strict.html");
    assert.equal(response.headers()["content-security-policy"], "default-src 'self'");
    const result = "2000 0,128,255 0,128,255 full error,gzip,batch";
    assert.deepEqual(await shown("done"), ["open", result, `script: ${result}`, `module-worker.js: ${result}`, `classic-worker.js: ${result}`, "done"]);

    await server.stop();
    assert.equal((await shown("waiting")).find((line) => line.startsWith("waiting")), "waiting server shutdown"); // attempts may follow
    await page.evaluate(() => window.connection.notify("test.say", { text: "back again" }));
    server = await start(built.program, "-addr", server.host);
    assert.deepEqual((await shown("back again")).slice(-2), ["open", "push back again"]);
    await page.evaluate(() => window.connection.close("bye"));
    assert.deepEqual((await shown("bye")).at(-1), "closed bye");
    assert.deepEqual(complaints, []);
  });
});
