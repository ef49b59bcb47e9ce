/** What the client's machine does in the races of SPEC.md, section 8. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClientInstruction, ClientMachine } from "../src/client_machine.js";
import type { Message, TaskMessage } from "../src/layout.js";
import { keyOf } from "../src/task_key.js";

const [A, B, G] = [new Uint8Array([1]), new Uint8Array([2]), new Uint8Array([3])];
const RESULT = new Uint8Array([9]);
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

function client(...tasks: Uint8Array[]): ClientMachine {
  const machine = new ClientMachine("here");
  assert.deepEqual(said(machine.handle({ type: "begin" })), ["clientHeartbeat"]); // C12.1
  for (const taskId of tasks) machine.handle({ type: "submit", message: task(taskId) });
  return machine;
}

function receive(machine: ClientMachine, message: Message): string[] {
  return said(machine.handle({ type: "message", message }));
}

const confirm = (taskId: Uint8Array, cancelConfirmType: "canceled" | "cancelFailed" | "cancelNotFound" | number) =>
  ({ kind: "taskCancelConfirm", taskId, cancelConfirmType }) as const;
const result = (taskId: Uint8Array, resultType: "success" | "failed" | number = "success") =>
  ({ kind: "taskResult", taskId, resultType, metadata: NOTHING, results: [RESULT] }) as const;

function cancel(machine: ClientMachine, call: number, force = false): string[] {
  return said(machine.handle({ type: "cancel", task: keyOf(A), call, force }));
}

/** Instructions in words. */
function said(instructions: readonly ClientInstruction[]): string[] {
  return instructions.map((instruction) => {
    switch (instruction.type) {
      case "send": {
        const { message } = instruction;
        return message.kind === "taskCancel" ? `taskCancel${message.flags.force ? ", force" : ""}` : message.kind;
      }
      case "answer":
        return `call ${instruction.call}: ${instruction.returned}`;
      case "cancelled":
        return `cancelled: ${instruction.outcome}`;
      case "release":
        return `release ${instruction.objects.map(keyOf).join(" ")}`;
      default:
        return instruction.type;
    }
  });
}

test("C2.4: a result without a round", () => {
  const machine = client(A);
  assert.deepEqual(receive(machine, result(A)), ["finish", "release 09"]);
  assert.deepEqual(receive(machine, confirm(A, "cancelNotFound")), []); // C9.1
  assert.deepEqual(receive(machine, result(A)), ["release 09"]); // C9.2
});

test("C2.1, C2.2, C3.1: what ends a round with true", () => {
  for (const [message, expected] of [
    [confirm(A, "canceled"), ["cancelled: confirmed", "call 1: true"]],
    [confirm(A, "cancelNotFound"), ["cancelled: not found", "call 1: true"]],
    [result(A), ["cancelled: result discarded", "call 1: true", "release 09"]],
    [{ kind: "clientDisconnect", disconnectType: "disconnect" }, ["cancelled: disconnected", "call 1: true", "over"]],
  ] as const) {
    const machine = client(A);
    assert.deepEqual(cancel(machine, 1), ["taskCancel"]);
    assert.deepEqual(receive(machine, message), expected);
  }
});

test("C2.3: a confirm without a round", () => {
  assert.deepEqual(receive(client(A), confirm(A, "canceled")), ["cancelled: confirmed"]);
  assert.deepEqual(receive(client(A), confirm(A, "cancelNotFound")), ["cancelled: not found"]);
  assert.deepEqual(receive(client(A), confirm(A, "cancelFailed")), []);
});

test("C4.1, C4.2: a refusal, another round, the result", () => {
  const machine = client(A);
  cancel(machine, 1);
  assert.deepEqual(receive(machine, confirm(A, "cancelFailed")), ["refused", "call 1: false"]);
  assert.deepEqual(cancel(machine, 2, true), ["taskCancel, force"]);
  assert.deepEqual(receive(machine, confirm(A, "cancelFailed")), ["refused", "call 2: false"]);
  assert.deepEqual(receive(machine, result(A)), ["finish", "release 09"]);
});

test("C5.1, C6.2: calls share a round, and the first time limit ends it", () => {
  const machine = client(A);
  assert.deepEqual(cancel(machine, 1), ["taskCancel"]);
  assert.deepEqual(cancel(machine, 2), []);
  const limit = said(machine.handle({ type: "time limit", task: keyOf(A), call: 2 }));
  assert.deepEqual(limit, ["cancelled: timed out", "call 1: true", "call 2: true"]);
  assert.deepEqual(receive(machine, result(A)), ["release 09"]);
});

test("a time limit of a round that has ended does not end the next one", () => {
  const machine = client(A);
  cancel(machine, 1);
  receive(machine, confirm(A, "cancelFailed"));
  cancel(machine, 2);
  assert.deepEqual(said(machine.handle({ type: "time limit", task: keyOf(A), call: 1 })), []);
});

test("C6.3: who asked for force in a round without it asks again; C7.1: who only asks waits for that", () => {
  const machine = client(A);
  cancel(machine, 1);
  cancel(machine, 2, true);
  assert.deepEqual(said(machine.handle({ type: "ask", task: keyOf(A), call: 3 })), []);
  assert.deepEqual(receive(machine, confirm(A, "cancelFailed")), ["refused", "taskCancel, force", "call 1: false"]);
  const end = receive(machine, confirm(A, "canceled"));
  assert.deepEqual(end, ["cancelled: confirmed", "call 2: true", "call 3: true"]);
});

test("C7.1: without a round the answer comes at once", () => {
  assert.deepEqual(said(client(A).handle({ type: "ask", task: keyOf(A), call: 1 })), ["call 1: false"]);
});

test("M6: a confirm of an unknown type leaves the round open; a result of one is terminal", () => {
  const machine = client(A);
  cancel(machine, 1);
  assert.deepEqual(receive(machine, confirm(A, 7)), []);
  assert.deepEqual(receive(machine, result(A, 7)), ["cancelled: result discarded", "call 1: true", "release 09"]);
});

test("C10.1: to disconnect cancels everything, and nothing works after it", () => {
  const machine = client(A, B);
  const end = said(machine.handle({ type: "disconnect" }));
  assert.deepEqual(end, ["clientDisconnect", "cancelled: disconnected", "cancelled: disconnected", "over"]);
  assert.deepEqual(receive(machine, result(A)), []);
});

test("C13: a target is settled by its own message, and payloads are kept until the graph is over", () => {
  const machine = client();
  const graph = { kind: "graphTask", taskId: G, source: NOTHING, targets: [A], graph: [task(A), task(B)] } as const;
  assert.deepEqual(said(machine.handle({ type: "submit", message: graph })), ["graphTask"]);
  assert.deepEqual(receive(machine, { ...result(B), results: [new Uint8Array([7])] }), []);
  assert.deepEqual(receive(machine, result(A)), ["finish"]);
  const over = { ...result(G), results: [] };
  assert.deepEqual(receive(machine, over), ["release 09", "graph over"]);
  assert.deepEqual(receive(machine, result(A)), ["release 09"]);
});

test("C13.2: errors of nodes, and what is discarded, are kept as well", () => {
  const machine = client();
  const graph = { kind: "graphTask", taskId: G, source: NOTHING, targets: [A], graph: [task(A), task(B)] } as const;
  machine.handle({ type: "submit", message: graph });
  cancel(machine, 1);
  assert.deepEqual(receive(machine, { ...result(B, "failed"), results: [new Uint8Array([7])] }), []);
  assert.deepEqual(receive(machine, confirm(G, "cancelFailed")), []);
  assert.deepEqual(receive(machine, result(A)), ["cancelled: result discarded", "call 1: true"]);
  assert.deepEqual(receive(machine, confirm(G, "canceled")), ["release 07 09", "graph over"]);
});
