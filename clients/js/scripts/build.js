// Builds dist/: ES modules and CommonJS, for browsers and for Node; the script-tag files; declarations.
import { execFile } from "node:child_process";
import { copyFile, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = path.join(root, "dist");
const { version } = JSON.parse(await readFile(path.join(root, "package.json"), "utf8"));

const tsc = fileURLToPath(new URL("bin/tsc", import.meta.resolve("typescript/package.json")));

const common = {
  absWorkingDir: root,
  bundle: true,
  target: "es2020",
  sourcemap: true,
  sourcesContent: true,
  legalComments: "none",
  define: { __VERSION__: JSON.stringify(version) },
  logLevel: "warning",
};
const script = (entry, outfile) => ({
  entryPoints: [entry],
  outfile,
  format: "iife",
  platform: "browser",
  minify: true,
  mangleProps: /^_/,
});

await copyFile(path.join(root, "../../LICENSE"), path.join(root, "LICENSE"));
await rm(dist, { recursive: true, force: true });
await Promise.all([
  ...["browser", "node"].flatMap((platform) =>
    ["esm", "cjs"].map((format) =>
      build({
        ...common,
        entryPoints: ["src/index.ts"],
        outfile: `dist/${platform === "node" ? "node" : "index"}.${format === "esm" ? "js" : "cjs"}`,
        platform,
        format,
        target: platform === "node" ? "node20" : common.target,
      }),
    ),
  ),
  build({ ...common, ...script("src/script.ts", "dist/nano.min.js") }),
  build({ ...common, ...script("src/script-protocol.ts", "dist/nano-protocol.min.js") }),
  promisify(execFile)(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root }).catch((err) => {
    throw new Error(err.stdout + err.stderr);
  }),
]);

// The same declarations for those who use require: what is CommonJS has to be declared as such.
for (const name of await readdir(dist)) {
  if (!name.endsWith(".d.ts")) continue;
  const text = await readFile(path.join(dist, name), "utf8");
  const commonjs = text.replace(/(from "\.\/[\w.-]+)\.js"/g, '$1.cjs"').replace(/(import\("\.\/[\w.-]+)\.js"\)/g, '$1.cjs")').replace(/\n?\/\/# sourceMappingURL=.*\n?$/, "\n");
  await writeFile(path.join(dist, name.replace(/\.d\.ts$/, ".d.cts")), commonjs);
}
