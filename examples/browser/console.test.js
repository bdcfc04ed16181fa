// The console as people who run nodes use it, in a real Chromium: on the cluster's demo, and on a
// node whose handler is slow.
//
//   LOOKS=folder node --test console.test.js    writes a picture of each view, too
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import axe from "axe-core";
import { Person, Proxy, build, desktop, launch, phone, start } from "./lib.js";

const token = "only for this test, not for you";
process.env.NANO_CONSOLE_TOKEN = process.env.CLUSTER_CONSOLE_TOKEN = token; // of all nodes that are started here

const views = ["Cluster", "Sessions", "Groups", "Routes", "Schedulers", "Log"];

class Operator extends Person {
  // signIn visits a node's console, and goes in.
  static async signIn(browser, url, options) {
    const operator = await this.visit(browser, `${url}/console/login`, options);
    await operator.page.getByLabel("Token").fill(token);
    await operator.button("Sign in").click();
    await operator.page.locator("#live[data-state=open]").waitFor();
    return operator;
  }

  async view(name) {
    await this.page.getByRole("link", { name, exact: true }).click();
    await this.page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
  }

  node(name) {
    return this.page.locator(".nodes > .node").filter({ has: this.page.getByRole("heading", { level: 3, name, exact: true }) });
  }

  // look has axe look at the page as it is now, in both colours.
  async look(name) {
    if (!(await this.page.evaluate(() => "axe" in globalThis))) await this.page.evaluate(axe.source);
    for (const colorScheme of ["light", "dark"]) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      if (process.env.LOOKS) await this.page.screenshot({ path: `${process.env.LOOKS}/console-${name}-${colorScheme}.png` });
      const { violations } = await this.page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
      const found = violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} at ${target}: ${failureSummary}`));
      assert.deepEqual(found, [], `${name}, ${colorScheme}`);
    }
    await this.fits();
  }
}

class Player extends Person {
  static async join(browser, url, name) {
    const player = await this.visit(browser, url);
    await player.page.getByLabel("Your name").fill(name);
    await player.page.getByLabel("Room", { exact: true }).fill("garden");
    await player.button("Join the chat").click();
    await player.page.getByRole("heading", { level: 1, name: "#garden" }).waitFor();
    return player;
  }

  seesOn(gate) {
    return this.page.locator("#path-gate[data-state=good]", { hasText: gate }).waitFor();
  }
}

describe("console of a cluster", { timeout: 600_000 }, () => {
  let built, server, browser, balancer, operator, ada, ben;
  const nodes = new Map(); // name -> {address, pid, page}

  before(async () => {
    built = await build("cluster");
    server = await start(built.program, ["demo", "--restart", "0"], /an orderly end/);
    for (const [, name, address, pid, page] of server.output.matchAll(/^ {2}(\S[^\n]*?) +(127\.\S+) +pid (\d+) *(http\S+)?$/gm)) {
      nodes.set(name, { address, pid: Number(pid), page });
    }
    browser = await launch();
    ada = await Player.join(browser, nodes.get("gate 1").page, "Ada");
    balancer = await Proxy.to(new URL(nodes.get("gate 2").page).host);
    ben = await Player.join(browser, balancer.url, "Ben");
  });
  after(async () => {
    await browser?.close();
    balancer?.close();
    await server?.stop();
    await built?.remove();
    for (const person of [operator, ada, ben]) assert.deepEqual(person?.complaints ?? [], [], "the browser complains");
  });

  test("who has the token gets in, at any gate", async () => {
    operator = await Operator.visit(browser, `${nodes.get("gate 1").page}/console/login`);
    await operator.look("login");
    await operator.page.getByLabel("Token").fill("a guess of many bytes");
    await operator.button("Sign in").click();
    await operator.seeError("This is not the token.");
    await operator.look("login-wrong");
    operator.complaints = operator.complaints.filter((text) => !text.includes("401")); // the browser says so of the guess
    await operator.page.getByLabel("Token").fill(token);
    await operator.button("Sign in").click();
    await operator.see("5 nodes · 2 sessions · 2 users");
    for (const name of nodes.keys()) await operator.node(name).filter({ hasText: "working" }).filter({ hasText: nodes.get(name).address }).waitFor();
    await operator.page.locator(".picture[aria-label='5 nodes, all links are up']").waitFor();
  });

  for (const [name, options] of [["desktop", desktop], ["phone", phone]]) {
    test(`each view, on a ${name}`, async () => {
      const other = await Operator.signIn(browser, nodes.get("gate 2").page, options);
      for (const view of views) {
        await other.view(view);
        if (view === "Sessions") {
          await other.page.locator("tbody tr").nth(1).waitFor();
          await other.page.locator("tbody .link").first().click();
          await other.page.getByRole("heading", { level: 3, name: /^At backend \d$/ }).waitFor(); // which knows the session, too
        } else if (view === "Routes") await other.page.getByRole("cell", { name: "chat.join" }).waitFor();
        else if (view === "Groups") await other.page.getByRole("cell", { name: "visitors" }).first().waitFor();
        else if (view === "Schedulers") await other.page.locator("tbody tr").nth(4).waitFor();
        else if (view === "Cluster") await other.page.locator(".nodes > .node").nth(4).waitFor();
        await other.look(`${view}-${name}`);
        if (view === "Cluster" || view === "Sessions") {
          await other.page.emulateMedia({ colorScheme: "light" });
          if (name === "desktop" && view === "Cluster") await other.picture("console-desktop");
          if (name === "phone" && view === "Sessions") await other.picture("console-phone");
        }
      }
      assert.deepEqual(other.complaints, []);
      await other.close();
    });
  }

  test("a player is found, sent a push, and kicked: their page says why", async () => {
    await operator.view("Sessions");
    await operator.page.locator("tbody tr", { hasText: "gate 2" }).locator(".link").click();
    const user = await operator.page.locator(".panel dd").first().textContent();
    await operator.button("Close").click();
    await operator.page.getByLabel("Which").fill(user);
    await operator.button("Find").click();
    await operator.see("1 session of 2.");
    await operator.page.locator("tbody .link").click();
    await operator.button("Kick").click();
    const dialog = operator.page.getByRole("dialog", { name: "Kick this session?" });
    await dialog.getByLabel("Reason").fill("please be kind");
    await operator.look("kick");
    await dialog.getByRole("button", { name: "Kick" }).click();
    await operator.see("The session was kicked.");
    await ben.see("Please be kind");
    await operator.see("0 sessions of 1.");
    await ben.button("Come back").click();
    await ben.seesOn("gate 2");
  });

  test("a node that hangs is drawn as silent, with its age, and heard again", async () => {
    await operator.view("Cluster");
    const { pid } = nodes.get("backend 2");
    process.kill(pid, "SIGSTOP");
    try {
      await operator.node("backend 2").filter({ hasText: "no answer" }).filter({ hasText: /answered ([4-9]\.\d|\d\d+) s ago/ }).waitFor();
      await operator.page.locator(".spot.old", { hasText: "backend 2" }).waitFor();
      await operator.see("Nothing is heard of backend 2.");
      await operator.node("gate 1").filter({ hasText: /answered [01]\.\d s ago/ }).waitFor(); // the others are not held up
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await operator.node("backend 2").filter({ hasText: "working" }).waitFor();
  });

  test("a gate that is drained lets its people go to another one", async () => {
    balancer.lead(new URL(nodes.get("gate 1").page).host); // as one does that asks which gates are ready
    await operator.node("gate 2").getByRole("button", { name: "Drain gate 2" }).click();
    const dialog = operator.page.getByRole("dialog", { name: "Drain gate 2?" });
    await dialog.getByRole("button", { name: "Drain it" }).click();
    await operator.see("gate 2 drains.");
    await operator.node("gate 2").filter({ hasText: "draining" }).waitFor();
    await ben.seesOn("gate 1");
    await operator.node("gate 2").locator(".figures", { hasText: /Sessions0/ }).waitFor();
    await operator.node("gate 1").locator(".figures", { hasText: /Sessions2/ }).waitFor();
  });

  test("who signs out is out", async () => {
    await operator.button("Sign out").click();
    await operator.page.getByLabel("Token").waitFor();
    operator.complaints = operator.complaints.filter((text) => !text.includes("401"));
  });
});

describe("console of a slow node", { timeout: 600_000 }, () => {
  let built, server, browser, player, operator;

  before(async () => {
    built = await build("browser/slow");
    server = await start(built.program, [], /open (http:\/\/\S+)/);
    browser = await launch();
    operator = await Operator.signIn(browser, server.match[1]);
    const context = await browser.newContext();
    player = await context.newPage();
    await player.goto(server.match[1]);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await built?.remove();
    assert.deepEqual(operator?.complaints ?? [], [], "the browser complains");
  });

  test("a handler that is slow now appears with its stack, and goes when it is done", async () => {
    const other = await Operator.signIn(browser, server.match[1]); // looks at the routes all the time: times are of the last ten seconds
    await other.view("Routes");
    const row = other.page.getByRole("row", { name: /^Room\.Nap/ });
    await row.waitFor();
    await operator.view("Schedulers");
    await operator.see("nothing is slow now");
    const nap = player.evaluate(() => globalThis.nap());
    const slow = operator.page.locator(".slow > li", { hasText: /^Room\.Nap runs for/ });
    await slow.waitFor();
    await slow.getByRole("button", { name: /^Stack/ }).click();
    await slow.locator("pre", { hasText: "sleepOnTheScheduler" }).waitFor();
    await operator.look("slow");
    await player.evaluate(() => globalThis.wake());
    await row.filter({ hasText: /[5-9]\d\d ms| s/ }).waitFor();
    await nap;
    await operator.see("nothing is slow now");
    assert.deepEqual(other.complaints, []);
    await other.close();
  });

  test("a push and a kick from the console reach the client, and the log has them", async () => {
    await operator.view("Sessions");
    await operator.page.locator("tbody .link").click();
    await operator.button("Send a push").click();
    await operator.page.getByLabel("Route").fill("notice");
    await operator.page.getByLabel("Payload, sent as it is").fill('"Maintenance at six"');
    await operator.button("Send", { exact: true }).last().click();
    await player.getByText("notice: Maintenance at six").waitFor();
    await operator.button("Kick").click();
    await operator.page.getByLabel("Reason").fill("please be kind");
    await operator.page.getByRole("dialog").getByRole("button", { name: "Kick" }).click();
    await player.getByText("ended: please be kind").waitFor();
    await operator.view("Log");
    await operator.page.locator(".lines li", { hasText: "session kicked by an operator" }).filter({ hasText: "please be kind" }).waitFor();
  });
});
