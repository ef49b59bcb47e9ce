/**
 * A scheduler as a program: `node build/src/scheduler_main.js --folder FOLDER`. Serves until SIGINT, SIGTERM or a client's shutdown.
 *
 * `--storage tcp://127.0.0.1:8517` in place of `--folder` is for clients and workers that keep payloads elsewhere.
 */
import { parseArgs } from "node:util";
import { Scheduler } from "./scheduler.js";
import { addressOf, folderAddress } from "./store.js";

const { values } = parseArgs({
  options: {
    endpoint: { type: "string", default: "tcp://127.0.0.1:6378" },
    folder: { type: "string" },
    storage: { type: "string" },
    "worker-timeout": { type: "string", default: "60" },
    "client-timeout": { type: "string", default: "60" },
    "accept-shutdown": { type: "boolean", default: false },
  },
});

function storage() {
  if (values.folder !== undefined) return folderAddress(values.folder);
  if (values.storage !== undefined) return addressOf(values.storage);
  throw new Error("--folder, or --storage, is missing: where payloads are kept");
}

const scheduler = new Scheduler({
  endpoint: values.endpoint,
  storage: storage(),
  workerTimeout: Number(values["worker-timeout"]),
  clientTimeout: Number(values["client-timeout"]),
  acceptShutdown: values["accept-shutdown"],
});
console.log(`listening on ${await scheduler.listen()}`);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void scheduler.shutDown());
