/** The adapter of the client for the conformance suite. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client, node, type Task, TaskCancelledError } from "../src/client.js";
import type { Graph } from "../src/graph.js";
import type { StorageAddress } from "../src/layout.js";
import { errorPayload, valuePayload } from "../src/payloads.js";
import { FileStore, folderAddress } from "../src/store.js";
import { type Command, type Commands, hex, number, say, serve, text, timing } from "./lines.js";

const folder = mkdtempSync(path.join(tmpdir(), "rescind-"));
const storage = folderAddress(folder);
const store = new FileStore(storage);
const tasks = new Map<string, Task<unknown>>();
let client: Client | undefined;
let stored = 0;

function connected(): Client {
  if (client === undefined) throw new Error("there is no client yet");
  return client;
}

function task(command: Command, field = "task"): Task<unknown> {
  const found = tasks.get(text(command, field));
  if (found === undefined) throw new Error(`there is no task ${text(command, field)}`);
  return found;
}

function watch(name: string, submitted: Task<unknown>): void {
  tasks.set(name, submitted);
  const settled = (outcome: string): void => say({ event: "settled", task: name, outcome });
  submitted.result.then(
    () => settled("finished"),
    (error) => settled(error instanceof TaskCancelledError ? "cancelled" : "finished"),
  );
}

const commands: Commands = {
  connect: async (command) => {
    client = await Client.connect({
      endpoint: text(command, "endpoint"),
      onLog: (_stream, written) => process.stderr.write(written),
      ...(command.storage === undefined ? {} : { folder: (command.storage as StorageAddress).host }),
      ...timing(command),
    });
    return {};
  },
  submit: (command) => {
    const called = command.function === undefined ? "echo" : text(command, "function");
    const submitted = connected().submit(called, (command.arguments as unknown[] | undefined) ?? ["hello"]);
    watch(text(command, "task"), submitted);
    return { task_id: hex(submitted.id) };
  },
  graph: (command) => {
    const nodes = command.nodes as readonly { readonly task: string; readonly arguments: readonly string[] }[];
    const targets = command.targets as readonly string[];
    const graph: Graph = Object.fromEntries(
      nodes.map(({ task: name, arguments: names }) => [
        name,
        { function: "echo", arguments: names.length === 0 ? ["hello"] : names.map(node) },
      ]),
    );
    const submitted = connected().submitGraph(graph, targets);
    for (const [name, target] of Object.entries(submitted)) watch(name, target);
    return { task_ids: Object.fromEntries(Object.entries(submitted).map(([name, { id }]) => [name, hex(id)])) };
  },
  cancel: async (command) => {
    const timeout = number(command, "time_limit");
    const options = { force: command.force === true, ...(timeout === undefined ? {} : { timeout }) };
    return { returned: await task(command).cancel(options) };
  },
  cancelled: async (command) => ({ returned: await task(command).cancelled() }),
  state: (command) => ({ settled: task(command).done, running: task(command).running }),
  result: async (command) => {
    try {
      const value = await task(command).result;
      return { outcome: "value", text: String(value), value: value ?? null };
    } catch (error) {
      if (error instanceof TaskCancelledError) return { outcome: "cancelled" };
      return { outcome: "error", text: String(error) };
    }
  },
  outcome: (command) => ({ outcome: task(command).outcome ?? null }),
  cancel_in_callback: async (command) => {
    const other = task(command);
    const callback = async (): Promise<boolean> => {
      const returned = await other.cancel();
      if (await other.cancelled()) await other.result.catch(() => {});
      return returned;
    };
    return { returned: await task(command, "of").result.then(callback, callback) };
  },
  payload: (command) => {
    const id = Buffer.from(`payload ${++stored}`);
    const content = text(command, "text");
    store.put(id, command.error === true ? errorPayload(new Error(content)) : valuePayload(content));
    return { object_id: hex(id) };
  },
  stored: (command) => ({ returned: store.has(Buffer.from(text(command, "object_id"), "hex")) }),
  disconnect: () => {
    connected().disconnect();
    return {};
  },
};

const features = ["force", "time-limit", "outcome", "graphs", "timeouts", "release"];
await serve("client", features, storage, commands, () => rmSync(folder, { recursive: true, force: true }));
