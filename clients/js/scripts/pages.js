// Writes the module that the examples' pages and the console's load: dist/index.js, as it was
// built. It is committed, so that they run with Go alone. With --check, only tells whether the
// committed ones are the built one.
import { readFile, writeFile } from "node:fs/promises";

const places = ["examples/page/shared/nano-websocket-client.js", "console/page/vendor/nano/nano-websocket-client.js"];
const built = await readFile(new URL("../dist/index.js", import.meta.url), "utf8");
const code = `// Built from clients/js, by \`npm run pages\` there. Edit it there.\n${built.replace(/\/\/# sourceMappingURL=.*\n/, "")}`;

for (const place of places) {
  const committed = new URL(`../../../${place}`, import.meta.url);
  if (!process.argv.includes("--check")) {
    await writeFile(committed, code);
  } else if ((await readFile(committed, "utf8")) !== code) {
    console.error(`${place} is not what the sources give; run in clients/js: npm run pages`);
    process.exitCode = 1;
  }
}
