/**
 * What a client does, as a function of what happens to it: no sockets, no clocks, no promises.
 *
 * One machine is one life under one routing id (T4). The shell (`client.ts`) tells it what has happened and carries
 * out what it returns, in that order. Settled futures are forgotten: what comes for them is dropped (C9.1).
 */
import { CLIENT_TABLE, type Event, type State } from "./client_table.js";
import {
  type GraphTaskMessage,
  type Message,
  NO_RESOURCE,
  type StorageAddress,
  type TaskMessage,
  type TaskResultMessage,
} from "./layout.js";
import { keyOf, type TaskKey } from "./task_key.js";

/** How a future came to be cancelled, or how its last round ended (C5.2). */
export type Outcome = "confirmed" | "not found" | "result discarded" | "timed out" | "disconnected" | "refused";

/** A call of `cancel()` or `cancelled()` that waits; the shell numbers them. */
export type Call = number;

export type ClientInput =
  | { readonly type: "begin" }
  | { readonly type: "message"; readonly message: Message }
  | { readonly type: "heartbeat due" }
  | { readonly type: "submit"; readonly message: TaskMessage | GraphTaskMessage }
  | { readonly type: "cancel"; readonly task: TaskKey; readonly call: Call; readonly force: boolean }
  /** `cancelled()`: is answered when no round is open (C7.1). */
  | { readonly type: "ask"; readonly task: TaskKey; readonly call: Call }
  /** The time limit of a call of `cancel()` is over. */
  | { readonly type: "time limit"; readonly task: TaskKey; readonly call: Call }
  /** The user disconnects. */
  | { readonly type: "disconnect" }
  | { readonly type: "scheduler lost" };

export type ClientInstruction =
  | { readonly type: "send"; readonly message: Message }
  | { readonly type: "finish"; readonly task: TaskKey; readonly result: TaskResultMessage }
  | { readonly type: "cancelled"; readonly task: TaskKey; readonly outcome: Outcome }
  /** The last round of a future that goes on was refused. */
  | { readonly type: "refused"; readonly task: TaskKey }
  | { readonly type: "answer"; readonly call: Call; readonly returned: boolean }
  /** Payloads of results that nobody needs any more. What `finish` delivers has been read before. */
  | { readonly type: "release"; readonly objects: readonly Uint8Array[] }
  /** Nothing reads the payloads any more that the client has stored for this graph. */
  | { readonly type: "graph over"; readonly graph: TaskKey }
  | { readonly type: "storage"; readonly address: StorageAddress }
  /** This life is over. */
  | { readonly type: "over" };

interface Caller {
  readonly call: Call;
  readonly kind: "cancel" | "cancel, force" | "ask";
}

interface Future {
  readonly taskId: Uint8Array;
  state: State;
  /** Whether the open round has force, and who waits for its end. */
  round: { readonly force: boolean; readonly callers: Caller[] };
}

interface Graph {
  readonly nodes: ReadonlySet<TaskKey>;
  readonly targets: ReadonlySet<TaskKey>;
  /** Payloads of errors and of targets' results: they are released when the graph is over (C13.2). */
  readonly kept: Uint8Array[];
}

export class ClientMachine {
  private readonly futures = new Map<TaskKey, Future>();
  private readonly graphs = new Map<TaskKey, Graph>();
  private readonly graphOfNode = new Map<TaskKey, Graph>();
  private over = false;
  private instructions: ClientInstruction[] = [];

  constructor(private readonly hostname: string) {}

  handle(input: ClientInput): readonly ClientInstruction[] {
    this.instructions = [];
    if (this.over) return this.instructions;
    switch (input.type) {
      case "begin":
      case "heartbeat due":
        this.send({
          kind: "clientHeartbeat",
          resource: NO_RESOURCE,
          latencyMicroseconds: 0,
          hostname: this.hostname,
        });
        break;
      case "message":
        this.receive(input.message);
        break;
      case "submit":
        this.submit(input.message);
        break;
      case "cancel":
        this.cancel(input.task, { call: input.call, kind: input.force ? "cancel, force" : "cancel" });
        break;
      case "ask":
        this.ask(input.task, input.call);
        break;
      case "time limit":
        // C6.2: the shortest limit of those who share a round ends it. A round of before is none of its business.
        if (this.futures.get(input.task)?.round.callers.some(({ call }) => call === input.call)) {
          this.step(input.task, "time limit");
        }
        break;
      case "disconnect":
        this.send({ kind: "clientDisconnect", disconnectType: "disconnect" });
        this.end();
        break;
      case "scheduler lost":
        this.end();
        break;
    }
    return this.instructions;
  }

  private submit(message: TaskMessage | GraphTaskMessage): void {
    if (message.kind === "task") {
      this.hold(message.taskId);
    } else {
      const graph: Graph = {
        nodes: new Set(message.graph.map(({ taskId }) => keyOf(taskId))),
        targets: new Set(message.targets.map(keyOf)),
        kept: [],
      };
      this.graphs.set(keyOf(message.taskId), graph);
      for (const node of graph.nodes) this.graphOfNode.set(node, graph);
      message.targets.forEach((target) => {
        this.hold(target);
      });
    }
    this.send(message); // C8.2: after the future exists
  }

  private hold(taskId: Uint8Array): void {
    this.futures.set(keyOf(taskId), { taskId, state: "running", round: { force: false, callers: [] } });
  }

  private cancel(task: TaskKey, caller: Caller): void {
    const future = this.futures.get(task);
    if (future === undefined || caller.kind === "ask") return;
    if (future.state === "running") future.round = { force: caller.kind === "cancel, force", callers: [] };
    future.round.callers.push(caller);
    this.step(task, caller.kind);
  }

  private ask(task: TaskKey, call: Call): void {
    const future = this.futures.get(task);
    if (future?.state === "canceling") future.round.callers.push({ call, kind: "ask" });
    else this.answer(call, false);
  }

  private receive(message: Message): void {
    switch (message.kind) {
      case "taskResult":
        this.result(message);
        return;
      case "taskCancelConfirm":
        if (typeof message.cancelConfirmType === "number") return; // M6: the round stays open.
        this.step(keyOf(message.taskId), message.cancelConfirmType);
        if (message.cancelConfirmType !== "cancelFailed") this.graphOver(keyOf(message.taskId));
        return;
      case "clientHeartbeatEcho":
        this.instructions.push({ type: "storage", address: message.objectStorageAddress });
        return;
      case "clientDisconnect": // C10.2, whatever its type
        this.end();
        return;
      default: // M3: dropped; the shell has counted it
    }
  }

  private result(message: TaskResultMessage): void {
    const task = keyOf(message.taskId);
    const graph = this.graphOfNode.get(task);
    // C13.2: what is of a graph is kept until it is over. The result of a node that succeeded and is no target is the
    // scheduler's to release.
    if (graph?.targets.has(task) || (graph && message.resultType !== "success")) graph.kept.push(...message.results);
    this.step(task, "result", message);
    if (graph === undefined) this.release(message.results); // read, discarded (C3.2) or late (C9.2)
    this.graphOver(task);
  }

  /** The graph's terminal message has come, if there is a graph with this id. */
  private graphOver(key: TaskKey): void {
    const graph = this.graphs.get(key);
    if (graph === undefined) return;
    this.graphs.delete(key);
    for (const node of graph.nodes) this.graphOfNode.delete(node);
    this.release(graph.kept);
    this.instructions.push({ type: "graph over", graph: key });
  }

  /** One row of the table. */
  private step(task: TaskKey, event: Event, result?: TaskResultMessage): void {
    const future = this.futures.get(task);
    if (future === undefined) return; // C9.1
    const step = CLIENT_TABLE.step(future.state, event);
    if (step === undefined) return;
    future.state = step.next;
    switch (step.does) {
      case "TaskCancel":
      case "TaskCancel, force":
        this.send({ kind: "taskCancel", taskId: future.taskId, flags: { force: step.does === "TaskCancel, force" } });
        return;
      case "join the round": // The caller has been added.
        return;
      case "deliver the result":
        if (result === undefined) throw new Error("a future finished without a result");
        this.futures.delete(task);
        this.instructions.push({ type: "finish", task, result });
        return;
      case "round ends: refused":
        this.refused(task, future);
        return;
      case "cancelled: confirmed":
        this.cancelled(task, future, "confirmed");
        return;
      case "cancelled: not found":
        this.cancelled(task, future, "not found");
        return;
      case "cancelled: result discarded":
        this.cancelled(task, future, "result discarded");
        return;
      case "cancelled: timed out":
        this.cancelled(task, future, "timed out");
        return;
      case "cancelled: disconnected":
        this.cancelled(task, future, "disconnected");
        return;
    }
  }

  private cancelled(task: TaskKey, future: Future, outcome: Outcome): void {
    this.futures.delete(task);
    this.instructions.push({ type: "cancelled", task, outcome });
    for (const { call } of future.round.callers) this.answer(call, true);
  }

  /** C4.1. Who asked for force in a round without it asks again, with force (C6.3), and who only asks waits on. */
  private refused(task: TaskKey, future: Future): void {
    const { force, callers } = future.round;
    future.round = { force: false, callers: [] };
    this.instructions.push({ type: "refused", task });
    const again = force ? [] : callers.filter(({ kind }) => kind === "cancel, force");
    for (const caller of again) this.cancel(task, caller);
    for (const caller of callers) {
      if (again.includes(caller)) continue;
      if (caller.kind === "ask" && again.length > 0) future.round.callers.push(caller);
      else this.answer(caller.call, false);
    }
  }

  /** C10.1, C10.2 */
  private end(): void {
    for (const task of [...this.futures.keys()]) this.step(task, "disconnect");
    for (const graph of [...this.graphs.keys()]) this.graphOver(graph);
    this.over = true;
    this.instructions.push({ type: "over" });
  }

  private release(objects: readonly Uint8Array[]): void {
    if (objects.length > 0) this.instructions.push({ type: "release", objects });
  }

  private answer(call: Call, returned: boolean): void {
    this.instructions.push({ type: "answer", call, returned });
  }

  private send(message: Message): void {
    this.instructions.push({ type: "send", message });
  }
}
