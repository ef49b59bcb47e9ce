/** Real processes, and a real connection, with what only shells do. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Router } from "zeromq";
import { Client, node, TaskCancelledError } from "../src/client.js";
import { checkGraph } from "../src/graph.js";
import type { Message, TaskMessage } from "../src/layout.js";
import { functionPayload, readValue, valuePayload } from "../src/payloads.js";
import { isAlive } from "../src/process_tree.js";
import { read } from "../src/reader.js";
import { FileStore, folderAddress } from "../src/store.js";
import { keyOf } from "../src/task_key.js";
import { TaskProcesses } from "../src/task_processes.js";
import { write } from "../src/writer.js";

const folder = mkdtempSync(path.join(tmpdir(), "rescind-"));
const storage = folderAddress(folder);
const store = new FileStore(storage);
const NOTHING = new Uint8Array();
after(() => rmSync(folder, { recursive: true }));

function call(name: string, ...args: unknown[]): TaskMessage {
  const functionId = Buffer.from(`function ${name}`);
  store.put(functionId, functionPayload(name));
  const functionArgs = args.map((argument, index) => {
    const data = Buffer.from(`argument ${index}`);
    store.put(data, valuePayload(argument));
    return { type: "objectID", data } as const;
  });
  return {
    kind: "task",
    taskId: new Uint8Array([1]),
    source: NOTHING,
    metadata: NOTHING,
    funcObjectId: functionId,
    functionArgs,
    capabilities: [],
  };
}

/** Runs one call; what is reported of it. */
async function run(message: TaskMessage, interfere: (processes: TaskProcesses) => void = () => {}): Promise<string> {
  const functions = fileURLToPath(new URL("functions.js", import.meta.url));
  let processes: TaskProcesses | undefined;
  const report = await new Promise<string>((resolve) => {
    processes = new TaskProcesses(functions, {
      finished: (_task, { resultType, results: [id = NOTHING] }) => {
        resolve(`${resultType} ${store.get(id)}`);
        store.delete([id]);
      },
      ended: () => resolve("ended"),
    });
    processes.start("01", message, storage);
    interfere(processes);
  });
  processes?.close();
  return report;
}

test("a function returns", async () => assert.equal(await run(call("add", 1, 2)), 'success {"value":3}'));

test("W3.2: what cannot be run, or stored, fails with the error", async () => {
  assert.match(await run(call("raise")), /^failed .*on purpose/);
  assert.match(await run(call("unstorable")), /^failed .*cannot be stored/);
  assert.match(await run(call("toString")), /^failed .*no function/);
  assert.match(await run({ ...call("add"), funcObjectId: Buffer.from("nobody's") }), /^failed .*no such file/);
  const unknown = { ...call("add"), functionArgs: [{ type: 7, data: NOTHING }] };
  assert.match(await run(unknown), /^failed .*unknown type 7/);
});

test("W3.1: a process that dies has ended", async () => assert.equal(await run(call("die")), "ended"));

test("W2.2: force ends a function that computes, and what it has started in a session of its own", async (context) => {
  const ended = run(call("spinWithChild"), (processes) => {
    const begun = setInterval(() => {
      if (!store.has(Buffer.from("begun"))) return;
      clearInterval(begun);
      processes.end("01");
    }, 5);
  });
  assert.equal(await ended, "ended");
  const [child, resultId] = readValue(store.get(Buffer.from("begun"))) as [number, string];
  assert.equal(store.has(Buffer.from(resultId, "hex")), false, "W2.5");
  if (process.platform !== "linux") context.skip("only Linux has /proc");
  else assert.equal(isAlive(child), false);
});

/** A scheduler that answers heartbeats with echoes, and hands what else comes to the test. */
async function scheduler(
  handle: (message: Message, send: (message: Message) => void) => void,
): Promise<{ endpoint: string; close: () => void }> {
  const router = new Router({ linger: 0 });
  await router.bind("tcp://127.0.0.1:*");
  void (async () => {
    for await (const [id = NOTHING, frame = NOTHING] of router) {
      const send = (message: Message): void => void router.send([id, write(message)]);
      const message = read(frame);
      if (message.kind === "clientHeartbeat") send({ kind: "clientHeartbeatEcho", objectStorageAddress: storage });
      else handle(message, send);
    }
  })();
  return { endpoint: router.lastEndpoint ?? "", close: () => router.close() };
}

test("an AbortSignal cancels with force, and is the cause", async () => {
  const { endpoint, close } = await scheduler((message, send) => {
    if (message.kind === "taskCancel" && message.flags.force) {
      send({ kind: "taskCancelConfirm", taskId: message.taskId, cancelConfirmType: "canceled" });
    }
  });
  const client = await Client.connect({ endpoint });
  const controller = new AbortController();
  const task = client.submit("spin", [3600], { signal: controller.signal });
  controller.abort("enough");
  await assert.rejects(task.result, (error) => {
    assert.ok(error instanceof TaskCancelledError);
    assert.deepEqual([error.name, error.outcome, error.cause], ["AbortError", "confirmed", "enough"]);
    return true;
  });
  assert.throws(() => client.submit("spin", [1], { signal: controller.signal }), /enough/);
  client.disconnect();
  assert.throws(() => client.submit("spin", [1]), /not connected/);
  close();
});

test("what a client has stored is gone when it has left", async () => {
  const kept = new Set<string>();
  const { endpoint, close } = await scheduler((message, send) => {
    if (message.kind !== "task") return;
    const results = [Buffer.from("the result")];
    store.put(results[0] ?? NOTHING, valuePayload("done"));
    for (const { data } of message.functionArgs) if (store.has(data)) kept.add("argument");
    if (store.has(message.funcObjectId)) kept.add("function");
    send({ kind: "taskResult", taskId: message.taskId, resultType: "success", metadata: NOTHING, results });
  });
  const own = path.join(folder, "own");
  const client = await Client.connect({ endpoint, folder: own });
  // Its store is another folder than this test's: the result is not found there.
  await assert.rejects(client.submit("echo", [1]).result, /ENOENT/);
  client.disconnect();
  const client2 = await Client.connect({ endpoint });
  assert.equal(await client2.submit("echo", [1]).result, "done");
  assert.deepEqual([...kept].sort(), ["argument", "function"]);
  assert.equal(store.has(Buffer.from("the result")), false);
  client2.disconnect();
  close();
});

test("many messages in one breath are all sent, in order, before the good-bye", async () => {
  const received: string[] = [];
  let left: () => void = () => {};
  const goodBye = new Promise<void>((resolve) => {
    left = resolve;
  });
  const { endpoint, close } = await scheduler((message) => {
    if (message.kind === "task") received.push(keyOf(message.taskId));
    else left();
  });
  const client = await Client.connect({ endpoint });
  const sent = Array.from({ length: 5000 }, () => keyOf(client.submit("echo", []).id));
  client.disconnect();
  await goodBye;
  assert.deepEqual(received, sent);
  close();
});

test("a timeout of Infinity, or beyond what timers can, is none", async () => {
  const { endpoint, close } = await scheduler((message, send) => {
    if (message.kind !== "taskCancel") return;
    setTimeout(() => send({ kind: "taskCancelConfirm", taskId: message.taskId, cancelConfirmType: "canceled" }), 20);
  });
  const client = await Client.connect({ endpoint });
  const tasks = [1, 2].map((seconds) => client.submit("sleep", [seconds]));
  const limits = [Number.POSITIVE_INFINITY, 10_000_000];
  await Promise.all(tasks.map((task, index) => task.cancel({ timeout: limits[index] ?? 0 })));
  assert.deepEqual(
    tasks.map(({ outcome }) => outcome),
    ["confirmed", "confirmed"],
  );
  client.disconnect();
  close();
});

test("time-outs and intervals beyond what timers can are none", async () => {
  const { endpoint, close } = await scheduler(() => {});
  for (const schedulerTimeout of [Number.POSITIVE_INFINITY, 10_000_000]) {
    (await Client.connect({ endpoint, schedulerTimeout, heartbeatInterval: schedulerTimeout })).disconnect();
  }
  close();
});

test("an endpoint that is none is refused, and nothing of that client goes on", async () => {
  const before = process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
  await assert.rejects(Client.connect({ endpoint: "nonsense", heartbeatInterval: 0.01 }), /cannot connect to nonsense/);
  assert.equal(process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length, before);
});

test("one AbortSignal for many tasks", async () => {
  const warnings: string[] = [];
  const warned = ({ name }: Error): void => void warnings.push(name);
  process.on("warning", warned);
  const { endpoint, close } = await scheduler((message, send) => {
    if (message.kind !== "taskCancel") return;
    send({ kind: "taskCancelConfirm", taskId: message.taskId, cancelConfirmType: "canceled" });
  });
  const client = await Client.connect({ endpoint });
  const controller = new AbortController();
  const tasks = Array.from({ length: 20 }, () => client.submit("sleep", [60], { signal: controller.signal }));
  assert.equal(await tasks[0]?.cancel(), true);
  controller.abort();
  await Promise.allSettled(tasks.map(({ result }) => result));
  assert.deepEqual(new Set(tasks.map(({ outcome }) => outcome)), new Set(["confirmed"]));
  process.off("warning", warned);
  assert.deepEqual(warnings, []);
  client.disconnect();
  close();
});

test("arguments before one that cannot be stored are released", async () => {
  const { endpoint, close } = await scheduler(() => {});
  const own = path.join(folder, "arguments");
  const client = await Client.connect({ endpoint, folder: own });
  assert.throws(() => client.submit("echo", ["stored", 1n]), TypeError);
  const nodes = { a: { function: "echo", arguments: ["stored"] }, b: { function: "echo", arguments: [1n] } };
  assert.throws(() => client.submitGraph(nodes, ["a"]), TypeError);
  client.disconnect();
  assert.deepEqual(readdirSync(own), []);
  close();
});

test("C13.4: a graph that could only be refused", () => {
  const call = (...names: string[]) => ({ function: "echo", arguments: names.map(node) });
  assert.throws(() => checkGraph({ a: call() }, ["b"]), /"b" is no node/);
  assert.throws(() => checkGraph({ a: call("b") }, ["a"]), /"b", which is no node/);
  assert.throws(() => checkGraph({ a: call("b"), b: call("c"), c: call("a") }, ["a"]), /cycle/);
  assert.throws(() => checkGraph({ a: call("a") }, []), /cycle/);
  checkGraph({ a: call("b", "c", "b"), b: call("d"), c: call("d"), d: call() }, ["a"]);
  const chain = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`${i}`, i ? call(`${i - 1}`) : call()]));
  checkGraph(chain, ["99999"]);
});
