/** What the worker's machine does in the races of SPEC.md, section 8. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message, TaskMessage } from "../src/layout.js";
import { keyOf } from "../src/task_key.js";
import { type WorkerInstruction, WorkerMachine } from "../src/worker_machine.js";

const storage = { scheme: "file", host: "/objects", port: 0 };
const [A, B] = [new Uint8Array([1]), new Uint8Array([2])];
const NOTHING = new Uint8Array();

function task(taskId: Uint8Array): TaskMessage {
  return {
    kind: "task",
    taskId,
    source: NOTHING,
    metadata: NOTHING,
    funcObjectId: NOTHING,
    functionArgs: [],
    capabilities: [],
  };
}

const cancel = (taskId: Uint8Array, force: boolean): Message => ({ kind: "taskCancel", taskId, flags: { force } });
const disconnect = (disconnectType: "disconnect" | "shutdown" | number): Message => ({
  kind: "clientDisconnect",
  disconnectType,
});

/** A worker with one process that has had its echo, and has been sent these Tasks. */
function worker(...tasks: Uint8Array[]): WorkerMachine {
  const machine = new WorkerMachine({ processes: 1, queueSize: 10, hostname: "here" });
  machine.handle({ type: "begin" });
  receive(machine, { kind: "workerHeartbeatEcho", objectStorageAddress: storage });
  for (const taskId of tasks) receive(machine, task(taskId));
  return machine;
}

function receive(machine: WorkerMachine, message: Message): string[] {
  return said(machine.handle({ type: "message", message }));
}

function ended(machine: WorkerMachine, taskId: Uint8Array): string[] {
  return said(machine.handle({ type: "process ended", task: keyOf(taskId) }));
}

function finished(machine: WorkerMachine, taskId: Uint8Array): string[] {
  const results = [new Uint8Array([9])];
  return said(machine.handle({ type: "finished", task: keyOf(taskId), finished: { resultType: "success", results } }));
}

/** Instructions in words. */
function said(instructions: readonly WorkerInstruction[]): string[] {
  return instructions.map((instruction) => {
    if (instruction.type === "over") return instruction.rejoin ? "over, rejoin" : "over";
    if (instruction.type !== "send") return `${instruction.type} ${instruction.task}`;
    const { message } = instruction;
    if (message.kind === "taskCancelConfirm") return `${message.cancelConfirmType} ${keyOf(message.taskId)}`;
    if (message.kind === "taskResult") return `${message.resultType} ${keyOf(message.taskId)}`;
    return message.kind;
  });
}

test("W5.1: the first word is a heartbeat", () => {
  const machine = new WorkerMachine({ processes: 1, queueSize: 10, hostname: "here" });
  assert.deepEqual(said(machine.handle({ type: "begin" })), ["workerHeartbeat"]);
  assert.deepEqual(said(machine.handle({ type: "heartbeat due" })), ["workerHeartbeat"]);
});

test("a Task that comes before the first echo starts when the echo says where payloads are", () => {
  const machine = new WorkerMachine({ processes: 1, queueSize: 10, hostname: "here" });
  assert.deepEqual(receive(machine, task(A)), []);
  const echo: Message = { kind: "workerHeartbeatEcho", objectStorageAddress: storage };
  assert.deepEqual(receive(machine, echo), ["start 01"]);
});

test("W2.1: what has not begun is dropped, with force or without, and never starts", () => {
  for (const force of [false, true]) {
    const machine = worker(A, B);
    assert.deepEqual(receive(machine, cancel(B, force)), ["canceled 02"]);
    assert.deepEqual(receive(machine, cancel(B, force)), ["cancelNotFound 02"]);
    assert.deepEqual(finished(machine, A), ["success 01"]);
  }
});

test("W2.2, W2.5: canceled comes when the process has ended, whatever it reported before", () => {
  const machine = worker(A, B);
  assert.deepEqual(receive(machine, cancel(A, true)), ["end process 01"]);
  assert.deepEqual(receive(machine, cancel(A, true)), []);
  assert.deepEqual(receive(machine, cancel(A, false)), []);
  assert.deepEqual(finished(machine, A), []);
  assert.deepEqual(ended(machine, A), ["canceled 01", "start 02"]);
});

test("W2.3: without force what runs refuses, and its result follows", () => {
  const machine = worker(A);
  assert.deepEqual(receive(machine, cancel(A, false)), ["cancelFailed 01"]);
  assert.deepEqual(finished(machine, A), ["success 01"]);
  assert.deepEqual(receive(machine, cancel(A, false)), ["cancelNotFound 01"]);
});

test("W3.1: a process that dies by itself", () => {
  const machine = worker(A, B);
  assert.deepEqual(ended(machine, A), ["failedWorkerDied 01", "start 02"]);
});

test("W1.3: a Task that is held already is dropped", () => {
  const machine = worker(A);
  assert.deepEqual(receive(machine, task(A)), []);
  assert.deepEqual(finished(machine, A), ["success 01"]);
  assert.deepEqual(receive(machine, task(A)), ["start 01"], "another assignment");
});

test("W4.1, W4.2: it ends what runs, then says good-bye, then nothing", () => {
  for (const leave of [disconnect("shutdown"), undefined]) {
    const machine = worker(A, B);
    const first = leave ? receive(machine, leave) : said(machine.handle({ type: "leave" }));
    assert.deepEqual(first, ["end process 01"]);
    assert.deepEqual(receive(machine, task(new Uint8Array([3]))), []);
    assert.deepEqual(finished(machine, A), []);
    assert.deepEqual(ended(machine, A), ["workerDisconnectNotification", "over"]);
    assert.deepEqual(said(machine.handle({ type: "heartbeat due" })), []);
    assert.deepEqual(receive(machine, cancel(A, true)), []);
  }
});

test("W1.2: a cancel that waits when the worker leaves is answered by the good-bye", () => {
  const machine = worker(A);
  receive(machine, cancel(A, true));
  assert.deepEqual(receive(machine, disconnect("shutdown")), []);
  assert.deepEqual(ended(machine, A), ["workerDisconnectNotification", "over"]);
});

test("W4.3, M6: a worker that was lost says nothing more, not even a heartbeat, and comes back", () => {
  for (const type of ["disconnect", 7] as const) {
    const machine = worker(A, B);
    assert.deepEqual(receive(machine, disconnect(type)), ["end process 01"]);
    assert.deepEqual(said(machine.handle({ type: "heartbeat due" })), []);
    assert.deepEqual(receive(machine, cancel(B, false)), []);
    assert.deepEqual(ended(machine, A), ["over, rejoin"]);
  }
});

test("W5.2, W5.3: so does one that has lost the scheduler", () => {
  const machine = worker(A);
  assert.deepEqual(said(machine.handle({ type: "scheduler lost" })), ["end process 01"]);
  assert.deepEqual(ended(machine, A), ["over, rejoin"]);
});

test("what is told to leave while it comes back does not come back, and still says nothing", () => {
  const machine = worker(A);
  receive(machine, disconnect("disconnect"));
  machine.handle({ type: "leave" });
  assert.deepEqual(ended(machine, A), ["over"]);
});

test("M3: messages for others have no effect", () => {
  const machine = worker(A);
  assert.deepEqual(receive(machine, { kind: "taskCancelConfirm", taskId: A, cancelConfirmType: "canceled" }), []);
  assert.deepEqual(finished(machine, A), ["success 01"]);
});
