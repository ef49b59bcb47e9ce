/**
 * A scheduler as a program: `node build/src/scheduler_main.js --folder FOLDER`. Serves until SIGINT, SIGTERM or a client's shutdown.
 *
 * `--storage tcp://127.0.0.1:8517` in place of `--folder` is for clients and workers that keep payloads elsewhere.
 */
import { parseArgs } from "node:util";
import { runProgram, seconds, truth } from "./options.js";
import { Scheduler } from "./scheduler.js";
import { addressOf, folderAddress } from "./store.js";

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      endpoint: { type: "string", default: "tcp://127.0.0.1:6378" },
      folder: { type: "string" },
      storage: { type: "string" },
      "worker-timeout": { type: "string", default: "60" },
      "client-timeout": { type: "string", default: "60" },
      "accept-shutdown": { type: "string", default: "false" },
      grace: { type: "string", default: "5" },
    },
  });
  const { folder, storage } = values;
  if (folder === undefined && storage === undefined) {
    throw new Error("where payloads are kept is missing: --folder FOLDER, or --storage tcp://HOST:PORT");
  }
  const scheduler = new Scheduler({
    endpoint: values.endpoint,
    storage: folder === undefined ? addressOf(storage ?? "") : folderAddress(folder),
    workerTimeout: seconds("worker-timeout", values["worker-timeout"]),
    clientTimeout: seconds("client-timeout", values["client-timeout"]),
    acceptShutdown: truth("accept-shutdown", values["accept-shutdown"]),
    grace: seconds("grace", values.grace),
  });
  console.log(`listening on ${await scheduler.listen()}`);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void scheduler.shutDown());
}

await runProgram(main);
