/**
 * A worker and a client with a scheduler that runs already:
 *
 *     node build/example/demo.js tcp://127.0.0.1:6378
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Client, node, TaskCancelledError, TaskError } from "../src/client.js";
import { Worker } from "../src/worker.js";

const [, , endpoint] = process.argv;
if (endpoint === undefined) throw new Error("usage: demo.js ENDPOINT-OF-A-SCHEDULER");

// A scheduler of ours says where payloads are; of one that knows no folders both are told.
const folder = mkdtempSync(path.join(tmpdir(), "rescind-"));
const functions = fileURLToPath(new URL("../src/tasks.js", import.meta.url));
const worker = new Worker({ endpoint, functions, folder, processes: 2 });
const client = await Client.connect<typeof import("../src/tasks.js")>({ endpoint, folder });

// A result has the type of the function that the worker has under this name.
const echoed = await client.submit("echo", ["hello"]).result;
console.log("echo:", echoed);

const failed = client.submit("fail", ["on purpose"]);
await failed.result.catch((error) => {
  if (error instanceof TaskError) console.log("fail:", error.message);
});

// Two that compute for ever, as it were: without force they refuse once they run, with force they end.
const spinning = client.submit("spin", [3600]);
const controller = new AbortController();
const aborted = client.submit("spin", [3600], { signal: controller.signal });
const behind = client.submit("sleep", [3600]); // Both processes are taken: it waits.
console.log("cancel of a task that waits:", await behind.cancel());
console.log("cancel, force, of a task that runs:", await spinning.cancel({ force: true }), spinning.outcome);
controller.abort();
await aborted.result.catch((error) => {
  if (error instanceof TaskCancelledError) console.log("abort:", error.name, error.outcome);
});

const { sum } = client.submitGraph(
  { word: { function: "echo", arguments: ["a graph"] }, sum: { function: "echo", arguments: [node("word")] } },
  ["sum"],
);
await sum.result.then(
  (value) => console.log("graph:", value),
  () => console.log(`graph: refused (${sum.outcome})`), // by a scheduler that does not support graphs
);

client.disconnect();
await worker.leave();
rmSync(folder, { recursive: true });
