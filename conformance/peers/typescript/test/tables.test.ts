/** The tables of the code are those of SPEC.md, row for row; the generated file is that of the schema. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { CLIENT_TABLE } from "../src/client_table.js";
import { SCHEDULER_TABLE } from "../src/scheduler_table.js";
import { Table } from "../src/table.js";
import { WORKER_TABLE } from "../src/worker_table.js";
import { inRepository } from "./repository.js";

/** The rows of the table under this heading of SPEC.md. */
function specified(heading: string): string[][] {
  const [, section = ""] = readFileSync(inRepository("SPEC.md"), "utf-8").split(`### ${heading}\n`);
  const [, table = ""] = section.split("|---|---|---|---|\n");
  return (table.split("\n\n")[0] ?? "").split("\n").map((line) => line.slice(2, -2).split(" | "));
}

test("the worker's table is that of SPEC.md", () => {
  assert.ok(WORKER_TABLE.rows.length > 0);
  assert.deepEqual(WORKER_TABLE.rows, specified("The worker's table"));
});

test("the scheduler's table is that of SPEC.md", () => {
  assert.ok(SCHEDULER_TABLE.rows.length > 0);
  assert.deepEqual(SCHEDULER_TABLE.rows, specified("The scheduler's table"));
});

test("the client's table is that of SPEC.md", () => {
  assert.ok(CLIENT_TABLE.rows.length > 0);
  assert.deepEqual(CLIENT_TABLE.rows, specified("The client's table"));
});

test("a table has one row for a pair", () => {
  const row = ["queued", "start", "running", "start it"] as const;
  assert.throws(() => new Table([row, row]));
});

test("the generated file is that of the schema", (context) => {
  const compiler = inRepository("conformance/peers/typescript/node_modules/.bin/capnp-es");
  const schema = inRepository("protocol/message.capnp");
  const folder = mkdtempSync(path.join(tmpdir(), "rescind-"));
  try {
    execFileSync("capnp", ["--version"], { stdio: "ignore" });
  } catch {
    rmSync(folder, { recursive: true });
    context.skip("there is no capnp (Debian: capnproto)");
    return;
  }
  try {
    execFileSync(compiler, [`-ots:${folder}`, `--src-prefix=${path.dirname(schema)}`, schema], { stdio: "pipe" });
    const now = readFileSync(path.join(folder, "message.ts"), "utf-8");
    const kept = inRepository("conformance/peers/typescript/src/generated/message.ts");
    assert.equal(now, readFileSync(kept, "utf-8"), "run: npm run generate");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
