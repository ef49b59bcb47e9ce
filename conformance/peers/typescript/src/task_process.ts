/** The program of a process that runs tasks, one after another. Its parent is the worker (`task_processes.ts`). */
import { pathToFileURL } from "node:url";
import type { StorageAddress } from "./layout.js";
import { errorPayload, functionName, readValue, valuePayload } from "./payloads.js";
import { FileStore } from "./store.js";

/** What the worker sends to a process. Bytes are in hexadecimal. */
export interface Order {
  readonly run: number;
  readonly storage: StorageAddress;
  readonly functionId: string;
  readonly arguments: readonly { readonly type: string | number; readonly data: string }[];
  /** Under which id the result is to be stored: the worker knows it, and can release what is left of it (W2.5). */
  readonly resultId: string;
}

/** What a process sends to the worker. */
export interface Report {
  readonly run: number;
  readonly resultType: "success" | "failed";
  readonly results: readonly string[];
}

/** What a task's function has as `this`. */
export interface TaskContext {
  readonly store: FileStore;
  readonly resultId: Uint8Array;
}

type TaskFunction = (this: TaskContext, ...args: unknown[]) => unknown;

const bytes = (hex: string): Uint8Array => Buffer.from(hex, "hex");

async function run(order: Order, functions: Record<string, unknown>): Promise<Report> {
  const results = [order.resultId];
  let store: FileStore;
  try {
    store = new FileStore(order.storage);
  } catch {
    return { run: order.run, resultType: "failed", results: [] }; // There is nowhere to store even the error.
  }
  const resultId = bytes(order.resultId);
  try {
    const name = functionName(store.get(bytes(order.functionId)));
    const function_ = functions[name];
    if (typeof function_ !== "function") throw new TypeError(`this worker has no function "${name}"`);
    const args = order.arguments.map(({ type, data }) => {
      if (type !== "objectID") throw new TypeError(`an argument is of the unknown type ${type}`); // M6, S12.20
      return readValue(store.get(bytes(data)));
    });
    const value = await (function_ as TaskFunction).call({ store, resultId }, ...args);
    store.put(resultId, valuePayload(value));
    return { run: order.run, resultType: "success", results };
  } catch (error) {
    try {
      store.put(resultId, errorPayload(error));
      return { run: order.run, resultType: "failed", results };
    } catch {
      return { run: order.run, resultType: "failed", results: [] };
    }
  }
}

async function main(): Promise<void> {
  const [, , module] = process.argv;
  if (module === undefined) throw new Error("usage: task_process.js MODULE-WITH-FUNCTIONS");
  const functions = (await import(pathToFileURL(module).href)) as Record<string, unknown>;
  process.on("message", (order: Order) => {
    void run(order, functions).then((report) => process.send?.(report));
  });
  process.on("disconnect", () => process.exit());
}

await main();
