/** A worker as a program: `node build/src/worker_main.js --endpoint ENDPOINT`. Runs until it is told to leave. */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { count, runProgram } from "./options.js";
import { Worker } from "./worker.js";

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      endpoint: { type: "string", default: "tcp://127.0.0.1:6378" },
      /** The module whose exports tasks may name. */
      functions: { type: "string", default: fileURLToPath(new URL("tasks.js", import.meta.url)) },
      processes: { type: "string", default: "1" },
      /** Where payloads are, if not where the scheduler says. */
      folder: { type: "string" },
    },
  });
  const worker = new Worker({
    endpoint: values.endpoint,
    functions: path.resolve(values.functions),
    processes: count("processes", values.processes),
    ...(values.folder === undefined ? {} : { folder: values.folder }),
  });
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void worker.leave());
  await worker.gone;
}

await runProgram(main);
