// Builds, starts and stops the chat server, for the tests.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../..", import.meta.url));

// build compiles the chat into a folder of its own. The result has the program's path, and remove().
export async function build() {
  const folder = await mkdtemp(path.join(tmpdir(), "nano-chat-"));
  const program = path.join(folder, process.platform === "win32" ? "chat.exe" : "chat");
  await promisify(execFile)("go", ["build", "-o", program, "./examples/chat"], { cwd: root });
  return { program, remove: () => rm(folder, { recursive: true, force: true }) };
}

// start runs the chat and waits for the address that it prints. stop ends it as an operator would; kill as a crash.
export function start(program, addr = "127.0.0.1:0") {
  const child = spawn(program, ["-addr", addr], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  const end = (signal) => {
    child.kill(signal);
    return ended;
  };
  return new Promise((resolve, reject) => {
    const read = (chunk) => {
      output += chunk;
      const url = /open (http:\/\/\S+)/.exec(output)?.[1];
      if (url) resolve({ url, addr: new URL(url).host, output: () => output, stop: () => end("SIGTERM"), kill: () => end("SIGKILL") });
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("error", reject);
    ended.then(({ code, signal }) => reject(new Error(`the chat ended (${code ?? signal}) before it could be opened:\n${output}`)));
  });
}
