// The arena as people play it, in a real Chromium against the real server. What is seen is read
// from what the page is about to draw (window.arena), not from pixels.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { Person, Proxy, build, desktop, launch, phone, start } from "./lib.js";

class Player extends Person {
  // come visits and goes in.
  static async come(browser, url, name, { room = "garden", options } = {}) {
    const player = await this.visit(browser, url, options);
    await player.enter(name, room);
    await player.playing();
    return player;
  }

  async enter(name, room) {
    await this.page.getByLabel("Your name").fill(name);
    await this.page.getByLabel("Room", { exact: true }).fill(room);
    await this.page.getByRole("button", { name: "Play", exact: true }).click();
  }

  // playing waits until one's own disc is in the view.
  playing() {
    return this.until(() => arena.net.joined && arena.view?.discs.some((d) => d.mine));
  }

  // until waits until something holds in the page, which looks at each of its frames.
  until(holds, arg) {
    return this.page.waitForFunction(holds, arg, { timeout: 60_000 });
  }

  // moving waits until people can move: a round has begun, and one's own disc is on the platform.
  moving() {
    return this.until(() => arena.view?.phase === 1 && arena.view.discs.some((d) => d.mine && d.alive && d.frozen === 0 && d.ghost === 0));
  }

  disc(name) {
    return this.page.evaluate((who) => arena.view.discs.find((d) => d.name === who), name);
  }

  // sees waits until a disc has moved by more than a bit from where it was, in a direction.
  sees(name, from, [dx, dy]) {
    return this.until(
      ([who, x, y, wx, wy]) => {
        const d = arena.view.discs.find((disc) => disc.name === who);
        return d?.alive && (d.x - x) * wx + (d.y - y) * wy > 30;
      },
      [name, from.x, from.y, dx, dy],
    );
  }

  // seePlayers waits until so many people and bots are there, in the list and on the platform.
  async seePlayers(people, bots) {
    const text = `${people} ${people === 1 ? "person" : "people"}, ${bots} ${bots === 1 ? "bot" : "bots"}`;
    await this.page.locator("#people", { hasText: text }).waitFor();
    await this.until((n) => arena.view.discs.length === n && document.querySelectorAll("#scores li").length === n, people + bots);
  }

  // toMiddle steers to where there is room in all directions.
  async toMiddle() {
    await this.page.keyboard.down("ArrowDown"); // a new round puts the first two above and below the middle
    await this.until(() => arena.view.discs.some((d) => d.mine && d.alive && d.y > -120));
    await this.page.keyboard.up("ArrowDown");
  }
}

describe("arena", { timeout: 400_000 }, () => {
  let arena, browser, players, server;

  before(async () => {
    arena = await build("arena");
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await arena?.remove();
  });
  afterEach(async () => {
    for (const player of players ?? []) assert.deepEqual(player.complaints, [], "the browser complains");
    await Promise.all((players ?? []).map((player) => player.close()));
    await server?.stop();
    [players, server] = [[], undefined];
  });

  const serve = async (...args) => {
    const started = await start(arena.program, ["--addr", "127.0.0.1:0", ...args], /open (http:\/\/(\S+))/);
    return Object.assign(started, { url: started.match[1], addr: started.match[2] });
  };
  const keep = (player) => {
    (players ??= []).push(player);
    return player;
  };
  const come = async (url, name, more) => keep(await Player.come(browser, url, name, more));

  test("two people meet in a room and see each other move", async () => {
    server = await serve("--bots", "1");
    const ada = await come(server.url, "Ada");
    const ben = await come(server.url, "Ben");
    await ada.seePlayers(2, 0);
    await ben.seePlayers(2, 0);
    for (const [mover, watcher, name] of [[ada, ben, "Ada"], [ben, ada, "Ben"]]) {
      await mover.moving();
      const [mine, theirs] = [await mover.disc(name), await watcher.disc(name)];
      const key = mine.x > 0 ? "ArrowLeft" : "ArrowRight";
      const way = [mine.x > 0 ? -1 : 1, 0];
      await mover.page.keyboard.down(key);
      await Promise.all([mover.sees(name, mine, way), watcher.sees(name, theirs, way)]);
      await mover.page.keyboard.up(key);
    }
    await ada.fits();

    await ada.button("Leave the room").click();
    await ada.page.getByRole("heading", { name: "nano arena" }).waitFor();
    await ben.seePlayers(1, 0);
    await ada.button("Play in garden, 1 person").click();
    await ada.playing();
    await ben.seePlayers(2, 0);
  });

  test("keyboard and mouse steer and dash", async () => {
    server = await serve("--bots", "1");
    const ada = await come(server.url, "Ada");
    await ada.moving();
    await ada.toMiddle();
    for (const [key, way] of [["KeyD", [1, 0]], ["ArrowLeft", [-1, 0]], ["ArrowDown", [0, 1]], ["KeyW", [0, -1]]]) {
      const from = await ada.disc("Ada");
      await ada.page.keyboard.down(key);
      await ada.sees("Ada", from, way);
      await ada.page.keyboard.up(key);
    }
    await ada.page.keyboard.down("KeyS"); // back to the middle, and not over the rim
    await ada.page.keyboard.press("Space");
    await ada.until(() => arena.view.discs[0].cooldown > 5);
    await ada.page.keyboard.up("KeyS");

    // The disc goes to where the mouse is held, in the middle of the stage.
    await ada.page.mouse.move(640, 420);
    await ada.page.mouse.down();
    await ada.until(() => {
      const [d] = arena.view.discs;
      return d.alive && d.cooldown === 0 && Math.hypot(d.x, d.y) < 90;
    });
    await ada.page.mouse.click(700, 420, { button: "right" });
    await ada.until(() => arena.view.discs[0].cooldown > 5);
    await ada.page.mouse.up();
  });

  test("on a phone: a finger is the stick, and the button dashes", async () => {
    server = await serve("--bots", "1");
    const ben = await come(server.url, "Ben 🦊", { options: phone });
    await ben.moving();
    const from = await ben.disc("Ben 🦊");
    const way = from.y > 0 ? -1 : 1;
    const finger = await ben.context.newCDPSession(ben.page);
    const touch = (type, ...touchPoints) => finger.send("Input.dispatchTouchEvent", { type, touchPoints });
    await touch("touchStart", { x: 120, y: 600, id: 1 });
    await touch("touchMove", { x: 120, y: 600 + way * 60, id: 1 });
    await ben.sees("Ben 🦊", from, [0, way]);
    await touch("touchStart", { x: 120, y: 600 + way * 60, id: 1 }, { x: 330, y: 770, id: 2 }); // a second finger, on the button
    await ben.until(() => arena.view.discs[0].cooldown > 5);
    await touch("touchEnd");
    await ben.until(() => arena.view.discs[0].ax === 0 && arena.view.discs[0].ay === 0);
    await ben.fits();

    // What is tapped must be large enough for a thumb.
    const small = await ben.page.evaluate(() =>
      [...document.querySelectorAll("button, input")]
        .map((node) => [node.id || node.textContent.trim(), node.getBoundingClientRect()])
        .filter(([, { width, height }]) => width > 0 && (width < 44 || height < 44))
        .map(([name, { width, height }]) => `${name}: ${width} x ${height}`),
    );
    assert.deepEqual(small, []);
  });

  test("bots fill the room, and make way", async () => {
    server = await serve("--bots", "3");
    const ada = await come(server.url, "Ada");
    await ada.seePlayers(1, 2);
    const ben = await come(server.url, "<b>Ben</b>", { options: { viewport: { width: 640, height: 480 } } });
    await ada.seePlayers(2, 1);
    assert.equal(await ada.page.locator("#scores .who", { hasText: "<b>Ben</b>" }).count(), 1, "a name is not what was typed");
    await ada.until(() => arena.view.phase === 1 && arena.view.discs.some((d) => d.bot && Math.hypot(d.vx, d.vy) > 100));
    await ben.button("Leave the room").click();
    await ada.seePlayers(1, 2);
    await ben.enter("Ada", "garden"); // the name is there already
    await ada.page.locator("#scores .who", { hasText: "Ada 2" }).waitFor();
  });

  test("what cannot be is said where it was asked for", async () => {
    server = await serve();
    const eve = keep(await Player.visit(browser, server.url));
    await eve.enter("", "garden");
    await eve.seeError("A name is needed.");
    await eve.enter("\u3164", "garden");
    await eve.seeError("The name holds a character that cannot be seen.");
    await eve.fits();
    await eve.enter("Eve", "");
    await eve.playing();
    await eve.page.getByRole("heading", { level: 1, name: "#lobby", exact: true }).waitFor();
  });

  test("a reload comes back to the same place, and a bot plays meanwhile", async () => {
    server = await serve("--bots", "1");
    const [ada, ben] = [await come(server.url, "Ada"), await come(server.url, "Ben", { options: { viewport: { width: 640, height: 480 } } })];
    const { id } = await ada.disc("Ada");
    await ada.page.goto("about:blank");
    await ben.page.locator("#scores li.away", { hasText: "Ada" }).waitFor();
    await ada.page.goBack();
    await ada.playing();
    await ada.page.getByText("You are back").waitFor();
    assert.equal((await ada.disc("Ada")).id, id);
    await ben.page.locator("#scores li:not(.away)", { hasText: "Ada" }).waitFor();
  });

  test("offline and online again: the same player in the same place, and the page does not begin anew", async () => {
    server = await serve("--bots", "1");
    const proxy = await Proxy.to(server.addr);
    try {
      const ada = keep(await Player.come(browser, proxy.url, "Ada"));
      const ben = await come(server.url, "Ben", { options: { viewport: { width: 640, height: 480 } } });
      const { id } = await ada.disc("Ada");
      await ada.page.evaluate(() => {
        globalThis.news = [];
        new MutationObserver((all) => all.forEach(({ addedNodes }) => news.push(...[...addedNodes].map((n) => n.textContent)))).observe(document.getElementById("news"), { childList: true });
      });

      proxy.lead("127.0.0.1:1"); // where nobody is
      proxy.cut();
      await ben.page.locator("#scores li.away", { hasText: "Ada" }).waitFor();
      await ada.page.locator("#game[data-stale]").waitFor();
      await ada.seeError("The connection is lost. Trying again…");
      const shown = await ada.page.evaluate(() => arena.net.joined && !document.getElementById("game").hidden);
      assert.ok(shown, "the last picture stays");
      proxy.lead(server.addr);
      await ada.page.locator("#game:not([data-stale])").waitFor();
      await ada.page.locator("#banner").waitFor({ state: "hidden" });
      await ben.page.locator("#scores li:not(.away)", { hasText: "Ada" }).waitFor();
      assert.equal((await ada.disc("Ada")).id, id);
      await ada.seePlayers(2, 0);

      // For a moment only, the page does not even say so.
      await ada.page.evaluate(() => {
        const real = setTimeout;
        globalThis.setTimeout = (what, ms, ...more) => real(what, ms === 1500 ? 1e8 : ms, ...more);
        globalThis.said = [];
        globalThis.changes = 0;
        new MutationObserver(() => said.push(document.getElementById("banner").textContent)).observe(document.getElementById("banner"), { childList: true });
        new MutationObserver(() => globalThis.changes++).observe(document.getElementById("lobby-connection"), { attributes: true });
      });
      const token = await ada.page.evaluate(() => sessionStorage.getItem("nano-arena"));
      proxy.cut();
      await ada.until(() => globalThis.changes > 0 && arena.net.live);
      await ada.moving();
      const from = await ada.disc("Ada");
      const way = from.y > 0 ? -1 : 1;
      await ada.page.keyboard.down(way < 0 ? "ArrowUp" : "ArrowDown");
      await ada.sees("Ada", from, [0, way]);
      await ada.page.keyboard.up(way < 0 ? "ArrowUp" : "ArrowDown");
      assert.deepEqual(await ada.page.evaluate(() => said.filter((text) => /lost|reached/.test(text))), [], "the banner was shown");
      assert.deepEqual(await ada.page.evaluate(() => globalThis.news.filter((text) => text.includes("You are back"))), [], "it has begun anew");
      assert.equal(await ada.page.evaluate(() => sessionStorage.getItem("nano-arena")), token);
    } finally {
      proxy.close();
    }
  });

  for (const [how, end] of [["stops", "stop"], ["crashes", "kill"]]) {
    test(`the server ${how} and comes back`, async () => {
      server = await serve("--bots", "3");
      const ada = await come(server.url, "Ada");
      await ada.moving();
      const { addr } = server;
      await server[end]();
      await ada.seeError(/The connection is lost|The server cannot be reached/);
      assert.equal(await ada.page.getByText("plays for you").count(), 0, "without a server nobody plays");
      await ada.page.locator("#game[data-stale]").waitFor();
      await ada.page.locator("#people", { hasText: "Not connected" }).waitFor();
      assert.equal(await ada.page.locator("#clock").textContent(), "–:––");
      server = await start(arena.program, ["--addr", addr, "--bots", "3"], /open (http:\/\/\S+)/);
      await ada.playing();
      await ada.page.locator("#banner").waitFor({ state: "hidden" });
      await ada.seePlayers(1, 2);
      await ada.moving();
      const from = await ada.disc("Ada");
      const way = from.y > 0 ? -1 : 1;
      await ada.page.keyboard.down(way < 0 ? "ArrowUp" : "ArrowDown");
      await ada.until((want) => arena.view.discs.some((d) => d.mine && d.ay * want > 100 && d.vy * want > 50), way);
      await ada.page.keyboard.up(way < 0 ? "ArrowUp" : "ArrowDown");
    });
  }

  test("with a slow network one's own disc moves at once, and without prediction as late as it is", async () => {
    server = await serve("--bots", "1");
    const ada = await come(`${server.url}/?lag=400`, "Ada");
    await ada.moving();
    await ada.toMiddle();
    await ada.button("Network figures").click();
    await ada.until(() => /^[4-9]\d\d ms$/.test(document.getElementById("net-ping").textContent));
    // It stands when it has not moved for longer than the lag: without prediction it is shown where
    // it was that long ago, and still goes there.
    const stands = () =>
      new Promise((resolve) => {
        let { x, y } = arena.view.discs[0];
        let since = performance.now();
        const look = () => {
          const disc = arena.view.discs[0];
          if (Math.hypot(disc.x - x, disc.y - y) > 1) {
            ({ x, y } = disc);
            since = performance.now();
          }
          if (performance.now() - since > 1000) return resolve();
          requestAnimationFrame(look);
        };
        look();
      });
    // How long it takes from a key to a move, measured in the page.
    const delay = async (code) => {
      await ada.until(() => arena.prediction.pending.every((p) => p.ax === 0));
      await ada.page.evaluate(stands);
      return ada.page.evaluate(
        (key) =>
          new Promise((resolve) => {
            const press = (type) => document.dispatchEvent(new KeyboardEvent(type, { code: key, bubbles: true }));
            const from = arena.view.discs[0].x;
            const begin = performance.now();
            press("keydown");
            const look = () => {
              if ((arena.view.discs[0].x - from) * (key === "ArrowLeft" ? -1 : 1) < 3) return requestAnimationFrame(look);
              press("keyup");
              resolve(performance.now() - begin);
            };
            look();
          }),
        code,
      );
    };
    const predicted = await delay("ArrowLeft");
    await ada.page.keyboard.press("p");
    await ada.page.locator("#predict[aria-pressed=false]").waitFor();
    const late = await delay("ArrowRight");
    assert.ok(late > 450, `without prediction it took ${late} ms, and the lag alone is 400`);
    assert.ok(predicted < late - 200, `with prediction it took ${predicted} ms, without it ${late} ms`);
    await ada.page.keyboard.press("l");
    await ada.until(() => arena.net.lag === 0);
  });

  test("light and dark, and pictures", async () => {
    server = await serve("--bots", "6");
    const visitor = keep(await Player.visit(browser, server.url, { ...desktop, colorScheme: "light" }));
    const ada = await come(server.url, "Ada", { room: "lobby", options: { ...desktop, colorScheme: "dark", reducedMotion: "no-preference" } });
    await visitor.button("Play in lobby, 1 person").waitFor();
    await visitor.see("Connected");
    await visitor.picture("arena-lobby");
    const colour = (who, id) => who.page.evaluate((node) => getComputedStyle(document.getElementById(node)).backgroundColor, id);
    assert.notEqual(await colour(visitor, "game"), await colour(ada, "game"));
    await visitor.close();
    players.splice(players.indexOf(visitor), 1);
    if (!process.env.SCREENSHOTS) return;

    const ben = await come(server.url, "Ben 🦊", { room: "lobby", options: { ...phone, colorScheme: "light", reducedMotion: "no-preference" } });
    // Something should be going on: a crowd in the middle of a round, with somebody who falls or
    // dashes.
    for (const player of [ada, ben]) await player.page.evaluate(() => (arena.stage.sharp = true));
    for (const [player, name] of [[ada, "arena-desktop"], [ben, "arena-phone"]]) {
      await player.until(() => {
        const { view } = arena;
        const alive = view?.discs.filter((d) => d.alive && d.ghost === 0) ?? [];
        return view?.phase === 1 && view.left < 900 && view.left > 450 && alive.length >= 5 && alive.some((d) => d.mine) && alive.some((d) => d.cooldown > 24);
      });
      await player.picture(name);
    }
  });

  test("a cluster: people behind two gates meet on one backend", async () => {
    server = await start(arena.program, ["cluster", "--gate-address", "127.0.0.1:0", "--gate-address", "127.0.0.1:0", "--bots", "2"], /gate 1: .* open (\S+)\ngate 2: .* open (\S+)/);
    const [gate1, gate2] = server.match.slice(1);
    const ada = await come(gate1, "Ada");
    const ben = await come(gate2, "Ben", { options: phone });
    await ada.seePlayers(2, 0);
    await ben.seePlayers(2, 0);
    const where = [];
    for (const [player, gate] of [[ada, "gate 1"], [ben, "gate 2"]]) {
      await player.button("Network figures").click();
      await player.page.locator("#net-gate", { hasText: gate }).waitFor();
      await player.until(() => /^\d+ bytes$/.test(document.getElementById("net-size").textContent) && document.getElementById("net-backend").textContent);
      where.push(await player.page.locator("#net-backend").textContent());
      await player.fits();
    }
    assert.equal(where[0], where[1]);
    await ada.moving();
    const [mine, theirs] = [await ada.disc("Ada"), await ben.disc("Ada")];
    const way = mine.y > 0 ? -1 : 1;
    await ada.page.keyboard.down(way < 0 ? "ArrowUp" : "ArrowDown");
    await Promise.all([ada.sees("Ada", mine, [0, way]), ben.sees("Ada", theirs, [0, way])]);
    await ada.page.keyboard.up(way < 0 ? "ArrowUp" : "ArrowDown");
  });

  test("a backend is killed: the page says so, and the room begins anew on another one", async () => {
    const node = (args, ready) => start(arena.program, [...args, "--heartbeat", "1s"], ready);
    const nodes = [await node(["master", "--listen", "127.0.0.1:0"], /master: at (\S+)/)];
    const master = ["--master", nodes[0].match[1], "--listen", "127.0.0.1:0"];
    try {
      const backends = {};
      for (const name of ["one", "two"]) {
        backends[name] = await node(["rooms", "--name", name, ...master, "--bots", "2"], /at \S+/);
        nodes.push(backends[name]);
      }
      nodes.push(await node(["gate", "--gate-address", "127.0.0.1:0", ...master], /open (\S+)/));
      const ada = await come(nodes.at(-1).match[1], "Ada");
      await ada.seePlayers(1, 1);
      const dead = await ada.page.evaluate(() => arena.net.backend);
      const other = dead === "one" ? "two" : "one";
      await backends[dead].kill();
      await ada.seeError(/does not answer|Nothing comes/);
      await ada.page.getByText(`The room is on ${other} now`).waitFor();
      await ada.until((name) => arena.net.joined && arena.net.backend === name, other);
      await ada.page.locator("#banner").waitFor({ state: "hidden" });
      await ada.seePlayers(1, 1);
      await ada.moving();
    } finally {
      for (const one of nodes.reverse()) await one.stop();
    }
  });

  test("a round has an end, a winner, and one's own place in the table", async () => {
    server = await serve("--bots", "8", "--round", "6s");
    const zoe = await come(server.url, "Zoe", { options: phone });
    await zoe.page.locator("#result:not([hidden])").waitFor({ timeout: 60_000 });
    const { page } = zoe;
    assert.match(await page.locator("#winner").textContent(), /^(You win!|\S.* wins!|Nobody wins)$/);
    const points = (await page.locator("#table b").allTextContents()).map(Number);
    assert.ok(points.length >= 3 && points.every((p, i) => i === 0 || p <= points[i - 1]), `the table is ${points}`);
    assert.match(await page.locator("#table .me").innerText(), /^[1-8]\.\s*Zoe \(you\)\s*\d+$/);
    assert.match(await page.locator("#own").textContent(), /^You are [1-8](st|nd|rd|th) of 8, with \d+ points?\.$/);
    for (const row of await page.locator("#table li").all()) assert.ok(await row.isVisible(), "a row of the table is not shown");
    await page.locator("#result").waitFor({ state: "hidden", timeout: 30_000 });
    await zoe.until(() => arena.people.every((p) => p.points === 0));
  });

  test("the rules are in sight, before the game and in it", async () => {
    server = await serve("--bots", "2", "--round", "9s");
    const ada = keep(await Player.visit(browser, server.url));
    const rules = ada.page.getByRole("listitem").filter({ hasText: /Push|round|Heavy|Freeze|Blast/ });
    await ada.page.getByText(/A round takes 9\ss, and the platform shrinks. In the last 3\ss nobody comes back/).waitFor();
    for (const rule of await rules.all()) {
      const { y, height } = await rule.boundingBox();
      assert.ok(y >= 0 && y + height <= 800, "a rule is out of sight");
    }
    assert.equal(await rules.count(), 5);
    await ada.enter("Ada", "garden");
    await ada.playing();
    await ada.page.getByText("The bots go easy on you for now").waitFor();
    assert.equal(await rules.first().isVisible(), false);
    await ada.page.keyboard.press("h");
    assert.equal(await rules.first().isVisible(), true);
    await ada.button("How to play").click();
    assert.equal(await rules.first().isVisible(), false);
    await ada.button("Leave the room").click();
    assert.equal(await rules.first().isVisible(), true);
  });

  test("the lobby says how a phone gets here, if one can", async () => {
    server = await serve();
    const ada = keep(await Player.visit(browser, server.url));
    await ada.page.getByText(`Only this machine can open this page. To let others in, start the server with --addr 0.0.0.0:${new URL(server.url).port}.`).waitFor();
    await server.stop();
    await ada.page.getByText("Not known without the server.").waitFor();

    const open = await start(arena.program, ["--addr", "0.0.0.0:0"], /open (http:\/\/\S+)(?: \(on a phone: (\S+)\))?/);
    server = open;
    const [, here, near] = open.match;
    const ben = keep(await Player.visit(browser, here));
    if (!near) return ben.page.getByText("Only this machine can open this page.").waitFor(); // it is in no network
    await ben.page.getByText(`In the same network, open ${near} there.`).waitFor();
    const phoning = keep(await Player.visit(browser, near, phone));
    await phoning.page.getByText(`Open ${near} there.`).waitFor();
    await phoning.enter("Cleo", "garden");
    await phoning.playing();
  });
});
