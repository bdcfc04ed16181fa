// What is published: its files, its size, and that it loads wherever it is said to.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import vm from "node:vm";
import { gzipSync } from "node:zlib";
import * as esm from "nano-websocket-client";
import { root, run } from "./helper.js";

const dist = (name) => readFile(new URL(`../dist/${name}`, import.meta.url), "utf8");
const pack = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));

test("the package holds what it should, and no more", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root });
  const report = JSON.parse(stdout);
  const [{ files }] = Array.isArray(report) ? report : Object.values(report);
  const names = files.map(({ path }) => path);
  for (const base of ["index.js", "index.cjs", "node.js", "node.cjs", "nano.min.js", "nano-protocol.min.js"]) {
    assert.ok(names.includes(`dist/${base}`) && names.includes(`dist/${base}.map`), base);
  }
  for (const name of ["index", "connection", "v05", "codec"]) {
    for (const end of ["d.ts", "d.ts.map", "d.cts"]) assert.ok(names.includes(`dist/${name}.${end}`), `${name}.${end}`);
    assert.ok(names.includes(`src/${name}.ts`), `the source that maps point to: ${name}`);
  }
  for (const name of ["package.json", "README.md", "LICENSE"]) assert.ok(names.includes(name), name);
  const rest = names.filter((name) => !/^(dist\/[\w.-]+\.(js|cjs|d\.ts|d\.cts|map)|src\/[\w.-]+\.ts|package\.json|README\.md|LICENSE)$/.test(name));
  assert.deepEqual(rest, []);
  assert.equal(pack.dependencies, undefined);
});

test("the script-tag file is small", async (t) => {
  for (const [name, limit] of [
    ["nano.min.js", 5900],
    ["nano-protocol.min.js", 2000],
  ]) {
    const size = gzipSync(await dist(name), { level: 9 }).length;
    t.diagnostic(`${name}: ${size} bytes, gzipped`);
    assert.ok(size <= limit, `${name}: ${size} bytes`);
  }
});

test("nothing that a strict content security policy forbids", async () => {
  for (const name of await readdir(new URL("../dist/", import.meta.url))) {
    if (/\.c?js$/.test(name)) assert.doesNotMatch(await dist(name), /\beval\b|new Function|Function\(|document\.write|innerHTML/, name);
  }
});

test("the examples' pages load what these sources give", async () => {
  await run(process.execPath, ["scripts/pages.js", "--check"], { cwd: root });
});

test("source maps hold the sources", async () => {
  for (const name of ["index.js", "node.cjs", "nano.min.js"]) {
    const map = JSON.parse(await dist(`${name}.map`));
    assert.ok(map.sources.some((source) => source.endsWith("src/codec.ts")), name);
    assert.ok(map.sourcesContent.every(Boolean), name);
    assert.match(await dist(name), new RegExp(`//# sourceMappingURL=${name}\\.map\\s*$`));
  }
});

test("ES module and CommonJS have the same in them", () => {
  const cjs = createRequire(import.meta.url)("nano-websocket-client");
  assert.deepEqual(Object.keys(cjs).sort(), Object.keys(esm).sort());
  assert.equal(typeof cjs.connect, "function");
  assert.equal(cjs.nano, cjs.starx);
});

test("the browsers' files need nothing of Node", async () => {
  const { connect, createNano } = await import("../dist/index.js");
  assert.equal(typeof connect, "function");
  assert.equal(typeof createNano().init, "function");
  for (const name of ["index.js", "index.cjs", "nano.min.js"]) assert.doesNotMatch(await dist(name), /node:|require\("/, name);
});

test("a page that came by https gets wss, others ws; secure decides", async () => {
  for (const [protocol, params, want] of [
    ["http:", { host: "a.example", port: 3250, path: "/nano" }, "ws://a.example:3250/nano"],
    ["https:", { host: "a.example", port: "3250", path: "nano" }, "wss://a.example:3250/nano"],
    ["https:", { host: "localhost", secure: false }, "ws://localhost/"],
    ["file:", { host: "a.example", secure: true }, "wss://a.example/"],
  ]) {
    let url;
    const WebSocket = class {
      constructor(to) {
        url = to;
      }
      close() {}
    };
    const window = { TextEncoder, TextDecoder, URL, WebSocket, setTimeout, clearTimeout, location: { protocol, href: `${protocol}//page.example/` } };
    vm.runInNewContext(await dist("nano.min.js"), window);
    window.nano.init(params);
    window.nano.disconnect();
    assert.equal(url, want);
  }
});

test("the scripts set window.nano, window.starx and window.Protocol, in either order", async () => {
  for (const order of [
    ["nano.min.js", "nano-protocol.min.js"],
    ["nano-protocol.min.js", "nano.min.js"],
  ]) {
    const window = { TextEncoder, TextDecoder, URL };
    vm.createContext(window, { codeGeneration: { strings: false } }); // as without 'unsafe-eval'
    const before = Object.keys(window);
    for (const name of order) vm.runInContext(await dist(name), window);
    assert.deepEqual(Object.keys(window).filter((key) => !before.includes(key)).sort(), ["Protocol", "nano", "starx"]);
    assert.equal(window.nano, window.starx);
    for (const name of ["init", "request", "notify", "on", "once", "off", "disconnect", "connect"]) assert.equal(typeof window.nano[name], "function", name);
    assert.equal(window.Protocol.strdecode(window.Protocol.strencode("é")), "é");
  }
});
