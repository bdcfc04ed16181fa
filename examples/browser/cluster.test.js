// The cluster's chat as people use it, in a real Chromium, on the demo's processes, which are
// killed meanwhile.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Person, Proxy, build, desktop, launch, phone, start } from "./lib.js";

// Demo is the demo's processes: where they are, and how to end one.
class Demo {
  #nodes = new Map(); // name -> {pid, page}

  async start() {
    this.built = await build("cluster");
    this.server = await start(this.built.program, ["demo", "--restart", "3s"], /Ctrl-C ends all of it\./);
    for (const [, name, pid, page] of this.server.output.matchAll(/^ {2}(\S[^\n]*?) +127\.\S+ +pid (\d+) *(http\S+)?$/gm)) {
      this.#nodes.set(name, { pid: Number(pid), page });
    }
    return this;
  }

  page(gate) {
    return this.#nodes.get(gate).page;
  }

  pid(name) {
    return this.#nodes.get(name).pid;
  }

  // end ends a node. What it returns resolves when the node is back.
  end(name, signal = "SIGKILL") {
    const node = this.#nodes.get(name);
    process.kill(node.pid, signal);
    const printed = this.server.prints(new RegExp(`^${name} \\(pid ${node.pid}\\) has ended[^]*^${name} is back: pid (\\d+)\n`, "m"));
    const back = printed.then(([, pid]) => (node.pid = Number(pid)));
    back.catch(() => {}); // of a test that has failed before it waits for this
    return back;
  }

  async stop() {
    const code = await this.server?.stop();
    await this.built?.remove();
    assert.equal(code, 0, this.server?.output);
  }
}

class ClusterPerson extends Person {
  // come visits a gate and goes in.
  static async come(browser, url, name, room, options) {
    const person = await this.visit(browser, url, options);
    await person.enter(name, room);
    return person;
  }

  async enter(name, room) {
    await this.page.getByLabel("Your name").fill(name);
    await this.page.getByLabel("Room", { exact: true }).fill(room);
    await this.button("Join the chat").click();
    await this.seesRoom(room);
  }

  seesRoom(room) {
    return this.page.getByRole("heading", { level: 1, name: `#${room}`, exact: true }).waitFor();
  }

  async say(text) {
    await this.page.getByLabel("Message", { exact: true }).fill(text);
    await this.page.getByLabel("Message", { exact: true }).press("Enter");
  }

  hears(text) {
    return this.page.locator("[role=log] .bubble", { hasText: text }).first().waitFor();
  }

  // on returns the name of the gate or backend, once one is at one.
  on(role) {
    return this.page.locator(`#path-${role}[data-state=good] b`).textContent();
  }

  seesOn(role, name) {
    return this.page.locator(`#path-${role}[data-state=good]`, { hasText: name }).waitFor();
  }

  // seesWith waits until these, and nobody else, are said to be in the room too.
  seesWith(name) {
    return this.page.locator("#people").getByText(name ? `You and ${name}` : "Only you are here", { exact: true }).waitFor();
  }

  // card is what the map shows of a node.
  card(name) {
    return this.page.locator(".nodes > li", { hasText: name });
  }

  // notices are what the log says of people.
  notices() {
    return this.page.locator("#log .line:not(.waiting)").allTextContents();
  }

  seesEvent(text) {
    return this.page.locator("#events li", { hasText: text }).first().waitFor({ state: "attached" });
  }

  dialog(title) {
    return this.page.getByRole("dialog", { name: title });
  }
}

describe("cluster", { timeout: 600_000 }, () => {
  let demo, browser, ada, ben;
  const people = [];

  const come = async (name, gate, options) => {
    const person = await ClusterPerson.come(browser, demo.page(gate), name, "garden", options);
    people.push(person);
    return person;
  };

  before(async () => {
    demo = new Demo();
    await demo.start();
    browser = await launch();
    ada = await come("Ada", "gate 1", desktop);
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
    for (const person of people) assert.deepEqual(person.complaints, [], "the browser complains");
  });

  test("people behind two gates meet on one backend", async () => {
    await ada.seesWith(null);
    ben = await come("Ben", "gate 2", phone);
    await ada.see("Ben joined");
    await ada.seesWith("Ben");
    await ben.seesWith("Ada");

    await ada.say("Hello from gate 1");
    await ben.hears("Hello from gate 1");
    await ben.say("And hello from gate 2 👋");
    await ada.hears("And hello from gate 2");
    await ada.say("The room is on one backend, whichever gate one comes by.");
    await ben.hears("The room is on one backend");
    assert.equal(await ada.on("gate"), "gate 1");
    assert.equal(await ben.on("gate"), "gate 2");
    assert.equal(await ada.on("backend"), await ben.on("backend"));
  });

  test("the map counts who is where", async () => {
    for (const gate of ["gate 1", "gate 2"]) {
      await ada.page.locator("#gates li", { hasText: gate }).filter({ hasText: "1 user" }).waitFor();
    }
    const backend = await ada.on("backend");
    const item = ada.page.locator("#backends li", { hasText: backend });
    await item.filter({ hasText: "#garden 2" }).filter({ hasText: "you are here" }).waitFor();
    await ada.see("5 nodes, all see each other");
    await ada.fits();
    await ben.fits();
    await ada.picture("cluster-desktop");
    await ben.picture("cluster-phone");
    await ben.page.locator("#path").click(); // on a phone the map is behind the path
    await ben.page.getByRole("heading", { name: "The cluster" }).waitFor();
    await ben.fits();
    await ben.page.locator("#path").click();
  });

  test("the cards say which process to kill, and how old is what they show", async () => {
    for (const name of ["gate 1", "gate 2", "backend 1", "backend 2", "master"]) {
      assert.match(await ada.card(name).textContent(), new RegExp(`pid ${demo.pid(name)}$`));
    }
    const idle = (await ada.on("backend")) === "backend 1" ? "backend 2" : "backend 1";
    for (const name of [idle, "master"]) {
      process.kill(demo.pid(name), "SIGSTOP");
      try {
        await Promise.all([ // a backend leaves the list soon after, and so do the words
          ada.card(name).and(ada.page.locator("[data-state=stale]")).filter({ hasText: /last heard [3-9] s ago/ }).waitFor(),
          ada.page.locator("#agree", { hasText: name === idle ? `Nothing is heard of ${name}` : "Nothing is heard of the master" }).waitFor(),
        ]);
      } finally {
        process.kill(demo.pid(name), "SIGCONT");
      }
      await ada.card(name).and(ada.page.locator("[data-state=good]")).filter({ hasNotText: "last heard" }).waitFor();
      await ada.see("5 nodes, all see each other");
    }
  });

  test("a message whose answer was lost is sent again, and seen once", async () => {
    const cut = new ClusterPerson(await browser.newContext());
    cut.page = await cut.context.newPage();
    people.push(cut);
    let lost = 0;
    await cut.page.routeWebSocket(/nano/, (page) => {
      const server = page.connectToServer();
      let mute = false;
      page.onMessage((data) => {
        mute ||= lost === 0 && String(data).includes("said only once");
        server.send(data);
      });
      server.onMessage((data) => {
        if (!mute) return page.send(data);
        if (lost++ === 0) page.close(); // the gate has it, and the page is not told
      });
    });
    await cut.page.goto(demo.page("gate 2"));
    await cut.enter("Cleo", "garden");
    await ada.seesWith("Ben and Cleo");
    await cut.say("said only once");
    await ada.hears("said only once");
    await cut.say("and this after it");
    await ada.hears("and this after it");
    assert.ok(lost > 0, "no answer was lost");
    for (const person of [ada, ben, cut]) {
      await person.hears("and this after it");
      assert.equal(await person.page.locator("[role=log] .bubble", { hasText: "said only once" }).count(), 1);
    }
    assert.equal(await cut.page.locator("#log .waiting").count(), 0);
    await cut.close();
    await ada.seesWith("Ben");
  });

  test("who leaves is gone for the others, and can come back", async () => {
    await ben.button("Leave the chat").click();
    await ben.page.getByRole("heading", { name: "nano cluster" }).waitFor();
    await ada.see("Ben left");
    await ada.seesWith(null);
    await ada.say("Nobody hears this");
    await ada.hears("Nobody hears this");

    await ben.button("Join the chat").click(); // the name and the room are still there
    await ben.hears("Nobody hears this"); // but it was kept
    await ada.seesWith("Ben");
    await ben.seesWith("Ada");
  });

  test("who comes in by another gate is kicked at the first, and can come back", async () => {
    const again = await come("Ada", "gate 2", desktop);
    await again.seesWith("Ben");
    await ada.dialog("You came in somewhere else").waitFor();
    await again.say("I am at gate 2 now");
    await ben.hears("I am at gate 2 now");
    await ben.seesWith("Ada");

    await ada.button("Come back").click();
    const dialog = again.dialog("You came in somewhere else");
    await dialog.waitFor();
    await ada.hears("I am at gate 2 now");
    await ada.say("And here again");
    await ben.hears("And here again");
    await ben.seesWith("Ada");

    await dialog.getByRole("button", { name: "Leave the chat" }).click();
    await again.page.getByRole("heading", { name: "nano cluster" }).waitFor();
    await again.fits();
    await again.close();
  });

  // Who writes finds out at once that the backend is gone. Who does not, finds out by a ping: then
  // nobody knows who comes to the other backend first.
  for (const writes of [true, false]) {
    test(`the backend is killed while ${writes ? "one writes" : "nobody writes"}: the room goes on at the other, and nothing is lost`, async () => {
      const notices = [await ada.notices(), await ben.notices()];
      const dead = await ada.on("backend");
      const other = dead === "backend 1" ? "backend 2" : "backend 1";
      const back = demo.end(dead);
      if (writes) {
        await ben.say("written after the kill");
        await ada.hears("written after the kill");
      }
      for (const person of [ada, ben]) {
        await person.seesOn("backend", other);
        await person.seesEvent(`#garden is on ${other} now`);
      }
      await ada.seesWith("Ben");
      await ben.seesWith("Ada");
      await ada.seesEvent(`${dead} has left the cluster`);
      await ada.seesEvent(`${dead} has joined`);
      await back;
      await ada.page.locator(".nodes", { hasText: `pid ${demo.pid(dead)}` }).waitFor();
      assert.deepEqual([await ada.notices(), await ben.notices()], notices, "nobody has come or gone");
    });
  }

  test("the backend is told to end while one writes: the room moves with its people, and nobody notices", async () => {
    const notices = [await ada.notices(), await ben.notices()];
    const old = await ada.on("backend");
    const other = old === "backend 1" ? "backend 2" : "backend 1";
    const back = demo.end(old, "SIGTERM");
    const said = [];
    for (let i = 1; i <= 3 || ((await ada.on("backend")) !== other && i < 40); i++) {
      said.push(`line ${i} while the room moves`);
      await ben.say(said.at(-1));
      await ada.hears(said.at(-1));
      await ben.page.waitForTimeout(450); // who writes faster is held back
    }
    for (const person of [ada, ben]) {
      await person.seesOn("backend", other);
      await person.seesEvent(`#garden is on ${other} now`);
      assert.deepEqual(await person.page.locator("[role=log] .bubble", { hasText: "while the room moves" }).allTextContents(), said);
    }
    await ada.seesWith("Ben");
    await ben.seesWith("Ada");
    await back;
    assert.deepEqual([await ada.notices(), await ben.notices()], notices, "nobody has come or gone");
  });

  for (const [how, signal] of [["stops", "SIGTERM"], ["crashes", "SIGKILL"]]) {
    test(`the gate ${how}: the page says so, and comes back`, async () => {
      const back = demo.end("gate 1", signal);
      await ada.seeError("Your gate is away");
      await ada.page.locator("#path-gate[data-state=bad]").waitFor();
      await ada.see("Not connected: this is how it was.");
      assert.equal(await ada.page.locator(".nodes > li[data-state=good], .nodes .here:visible").count(), 0, "it claims what it cannot know");
      assert.equal(await ada.page.locator("#people").textContent(), "Not connected");
      await ada.say(`written when the gate ${how}`);
      await ben.hears(`written when the gate ${how}`);
      await ada.seesOn("gate", "gate 1");
      await ada.seesEvent("the gate is back");
      await ada.seesWith("Ben");
      // Whether Ben sees her leave and join depends on who comes first, as the room may move home
      // to the backend that is back.
      await ben.seesWith("Ada");
      await back;
    });
  }

  test("the gate is drained while one writes: one goes on at the other, nothing is missing and nothing twice", async () => {
    const proxy = await Proxy.to(new URL(demo.page("gate 1")).host);
    try {
      const dee = await ClusterPerson.come(browser, proxy.url, "Dee", "garden");
      people.push(dee);
      await dee.seesOn("gate", "gate 1");
      await ben.see("Dee joined");
      proxy.lead(new URL(demo.page("gate 2")).host); // as a load balancer does that knows
      const back = demo.end("gate 1", "SIGTERM");
      const said = [];
      for (let i = 1; i <= 10 || ((await dee.on("gate")) !== "gate 2" && i < 60); i++) {
        said.push(`line ${i} of Dee`);
        await dee.say(said.at(-1));
        await dee.page.waitForTimeout(450); // who writes faster is held back
      }
      await dee.seesOn("gate", "gate 2");
      for (const person of [dee, ben]) {
        await person.hears(said.at(-1));
        const seen = await person.page.locator("[role=log] .bubble", { hasText: "of Dee" }).allTextContents();
        assert.deepEqual(seen, said);
      }
      assert.ok(!(await ben.notices()).includes("Dee left"), "Dee is said to have left");
      await ben.say("Welcome to gate 2");
      await dee.hears("Welcome to gate 2");
      await dee.button("Leave the chat").click();
      await ben.see("Dee left");
      await back;
    } finally {
      proxy.close();
    }
  });

  test("another room may be on another backend", async () => {
    await ada.page.getByLabel("Go to another room").fill("attic");
    await ada.page.getByLabel("Go to another room").press("Enter");
    await ada.seesRoom("attic");
    await ada.seesWith(null);
    await ben.seesWith(null);
    await ada.say("<b>text</b> stays text");
    await ada.hears("<b>text</b> stays text");
  });
});
