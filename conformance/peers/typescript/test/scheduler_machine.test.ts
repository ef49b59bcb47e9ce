/** The scheduler's machine: its shutdown, whom it answers, and what it remembers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_RESOURCE, type Message, type TaskMessage } from "../src/layout.js";
import { type SchedulerInstruction, SchedulerMachine } from "../src/scheduler_machine.js";
import { keyOf } from "../src/task_key.js";
import { write } from "../src/writer.js";
import { read } from "../src/reader.js";

const [A, B] = [new Uint8Array([1]), new Uint8Array([2])];
const [CLIENT, WORKER] = ["c1", "d1"];
const NOTHING = new Uint8Array();
const storage = { scheme: "file", host: "/objects", port: 0 };

const task = (taskId: Uint8Array): TaskMessage => ({
  kind: "task",
  taskId,
  source: NOTHING,
  metadata: NOTHING,
  funcObjectId: NOTHING,
  functionArgs: [],
  capabilities: [],
});
const heartbeat = (queueSize: number): Message => ({
  kind: "workerHeartbeat",
  agent: NO_RESOURCE,
  rssFree: 0n,
  queueSize,
  queuedTasks: 0,
  latencyMicroseconds: 0,
  taskLock: false,
  processors: [],
  capabilities: [],
  workerManagerID: NOTHING,
  memLimit: 0n,
  hostname: "",
  netSentBytes: 0n,
  netRecvBytes: 0n,
});

function receive(machine: SchedulerMachine, from: string, message: Message): string[] {
  return said(machine.handle({ type: "message", from, received: { message, frame: write(message) } }));
}

/** Instructions in words. */
function said(instructions: readonly SchedulerInstruction[]): string[] {
  return instructions.map((instruction) => {
    if (instruction.type === "over") return "over";
    const message = instruction.what instanceof Uint8Array ? read(instruction.what) : instruction.what;
    switch (message.kind) {
      case "taskCancelConfirm":
        return `${instruction.to} ${message.cancelConfirmType} ${keyOf(message.taskId)}`;
      case "clientDisconnect":
        return `${instruction.to} ${message.disconnectType}`;
      case "clientShutdownResponse":
        return `${instruction.to} accepted ${message.accepted}`;
      case "task":
        return `${instruction.to} task ${keyOf(message.taskId)}`;
      default:
        return `${instruction.to} ${message.kind}`;
    }
  });
}

/** One worker that takes one task, and a client with two: one is dispatched, one waits. */
function scheduler(acceptShutdown = false): SchedulerMachine {
  const machine = new SchedulerMachine({ storage, acceptShutdown, remembered: 2 });
  receive(machine, WORKER, heartbeat(1));
  assert.deepEqual(receive(machine, CLIENT, task(A)), ["d1 task 01"]);
  assert.deepEqual(receive(machine, CLIENT, task(B)), []);
  return machine;
}

test("S9.10: an orderly shutdown answers what waits at once, and the rest when the worker has left", () => {
  const machine = scheduler();
  assert.deepEqual(said(machine.handle({ type: "shut down" })), ["c1 canceled 02", "d1 shutdown"]);
  assert.deepEqual(receive(machine, CLIENT, task(new Uint8Array([3]))), ["c1 cancelNotFound 03"]);
  assert.deepEqual(receive(machine, "d2", heartbeat(1)), ["d2 shutdown"]);
  assert.deepEqual(receive(machine, WORKER, heartbeat(1)), ["d1 workerHeartbeatEcho"]);
  const end = receive(machine, WORKER, { kind: "workerDisconnectNotification" });
  assert.deepEqual(end, ["c1 canceled 01", "over"]);
});

test("S9.10: what a worker held that has left is answered, though another is still there", () => {
  const machine = scheduler();
  receive(machine, "d2", heartbeat(0));
  machine.handle({ type: "shut down" });
  assert.deepEqual(receive(machine, WORKER, { kind: "workerDisconnectNotification" }), ["c1 canceled 01"]);
});

test("S9.10: a worker that does not leave has a grace", () => {
  const machine = scheduler();
  machine.handle({ type: "shut down" });
  assert.deepEqual(said(machine.handle({ type: "grace over" })), ["c1 canceled 01", "over"]);
});

test("S11.6: a client is told whether the cluster shuts down", () => {
  const shutdown: Message = { kind: "clientDisconnect", disconnectType: "shutdown" };
  assert.deepEqual(receive(scheduler(false), CLIENT, shutdown), ["c1 accepted false"]);
  const accepted = receive(scheduler(true), CLIENT, shutdown);
  assert.deepEqual(accepted, ["c1 accepted true", "c1 canceled 02", "d1 shutdown"]);
  // Also one whose first word it is; not one that was lost (S9.8).
  assert.deepEqual(receive(scheduler(false), "c2", shutdown), ["c2 accepted false"]);
  const left = scheduler(true);
  left.handle({ type: "silent", peer: CLIENT });
  assert.deepEqual(receive(left, CLIENT, shutdown), []);
});

test("S9.11, S9.8: a client that was silent is told of each of its tasks, and stays lost", () => {
  const machine = scheduler();
  const lost = said(machine.handle({ type: "silent", peer: CLIENT }));
  assert.deepEqual(lost, ["c1 cancelNotFound 01", "d1 taskCancel", "c1 cancelNotFound 02"]);
  const alive: Message = { kind: "clientHeartbeat", resource: NO_RESOURCE, latencyMicroseconds: 0, hostname: "" };
  assert.deepEqual(receive(machine, CLIENT, alive), ["c1 disconnect"]);
  assert.deepEqual(receive(machine, CLIENT, alive), ["c1 disconnect"]);
});

test("S9.6: a worker that stays is told disconnect, then shutdown; the oldest lost ids are forgotten", () => {
  const machine = scheduler();
  machine.handle({ type: "silent", peer: WORKER });
  assert.deepEqual(receive(machine, WORKER, heartbeat(1)), ["d1 disconnect"]);
  assert.deepEqual(receive(machine, WORKER, heartbeat(1)), ["d1 shutdown"]);
  for (const other of ["d2", "d3"]) {
    receive(machine, other, heartbeat(0));
    machine.handle({ type: "silent", peer: other });
  }
  assert.deepEqual(receive(machine, "d2", heartbeat(1)), ["d2 disconnect"]);
  assert.equal(receive(machine, WORKER, heartbeat(0)).at(-1), "d1 workerHeartbeatEcho");
});
