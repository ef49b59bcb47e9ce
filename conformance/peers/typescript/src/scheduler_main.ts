/** A scheduler as a program: `node build/src/scheduler_main.js --folder FOLDER`. Serves until SIGINT or SIGTERM. */
import { parseArgs } from "node:util";
import { Scheduler } from "./scheduler.js";

const { values } = parseArgs({
  options: {
    endpoint: { type: "string", default: "tcp://127.0.0.1:6378" },
    folder: { type: "string" },
    "worker-timeout": { type: "string", default: "60" },
    "client-timeout": { type: "string", default: "60" },
  },
});
if (values.folder === undefined) throw new Error("--folder is missing: where payloads are kept");
const scheduler = new Scheduler({
  endpoint: values.endpoint,
  folder: values.folder,
  workerTimeout: Number(values["worker-timeout"]),
  clientTimeout: Number(values["client-timeout"]),
});
console.log(`listening on ${await scheduler.listen()}`);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void scheduler.shutDown());
