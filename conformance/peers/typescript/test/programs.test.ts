/** What the programs say of a command line that is wrong. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/** The exit status, and what is told. */
function run(program: string, ...options: string[]): [number | null, string] {
  const main = fileURLToPath(new URL(`../src/${program}.js`, import.meta.url));
  const { status, stderr } = spawnSync("node", [main, ...options], { encoding: "utf-8", timeout: 60_000 });
  return [status, stderr.trim()];
}

for (const [program, options, told] of [
  ["worker_main", ["--processes", "x"], 'worker_main.js: --processes takes a number of 1 or more; this is "x"'],
  ["worker_main", ["--processes", "0"], 'worker_main.js: --processes takes a number of 1 or more; this is "0"'],
  ["worker_main", ["--bogus"], "worker_main.js: Unknown option '--bogus'"],
  [
    "worker_main",
    ["--endpoint", "x"],
    "worker_main.js: cannot connect to x; an endpoint is, say, tcp://127.0.0.1:6378",
  ],
  [
    "scheduler_main",
    [],
    "scheduler_main.js: where payloads are kept is missing: --folder FOLDER, or --storage tcp://HOST:PORT",
  ],
  [
    "scheduler_main",
    ["--folder", "x", "--worker-timeout", "soon"],
    'scheduler_main.js: --worker-timeout takes seconds, more than 0; this is "soon"',
  ],
  [
    "scheduler_main",
    ["--folder", "x", "--accept-shutdown", "yes"],
    'scheduler_main.js: --accept-shutdown takes true or false; this is "yes"',
  ],
  ["scheduler_main", ["--folder", "x", "--endpoint", "x"], "scheduler_main.js: cannot listen on x: Invalid argument"],
] as const) {
  test(`${program} ${options.join(" ")}`, () => assert.deepEqual(run(program, ...options), [2, told]));
}
