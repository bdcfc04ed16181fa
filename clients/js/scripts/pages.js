// Writes the module that the examples' pages load: dist/index.js, as it was built. It is committed, so that the examples
// run with Go alone. With --check, only tells whether the committed one is the built one.
import { readFile, writeFile } from "node:fs/promises";

const committed = new URL("../../../examples/page/shared/nano-websocket-client.js", import.meta.url);
const built = await readFile(new URL("../dist/index.js", import.meta.url), "utf8");
const code = `// Built from clients/js, by \`npm run pages\` there. Edit it there.\n${built.replace(/\/\/# sourceMappingURL=.*\n/, "")}`;

if (!process.argv.includes("--check")) {
  await writeFile(committed, code);
} else if ((await readFile(committed, "utf8")) !== code) {
  console.error("examples/page/shared/nano-websocket-client.js is not what the sources give; run in clients/js: npm run pages");
  process.exitCode = 1;
}
