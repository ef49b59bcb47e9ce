/**
 * What a worker does, as a function of what happens to it: no sockets, no clocks, no processes.
 *
 * One machine is one life under one routing id (T4). The shell (`worker.ts`) tells it what has happened and carries
 * out what it returns, in that order.
 */
import { type Message, NO_RESOURCE, type StorageAddress, type TaskMessage } from "./layout.js";
import { keyOf, type TaskKey } from "./task_key.js";
import { type Event, type State, WORKER_TABLE } from "./worker_table.js";

/** What a function ended with; `results` are the ids of the payloads that were stored. */
export interface Finished {
  readonly resultType: "success" | "failed";
  readonly results: readonly Uint8Array[];
}

export type WorkerInput =
  | { readonly type: "begin" }
  | { readonly type: "message"; readonly message: Message }
  | { readonly type: "heartbeat due" }
  | { readonly type: "finished"; readonly task: TaskKey; readonly finished: Finished }
  | { readonly type: "process ended"; readonly task: TaskKey }
  | { readonly type: "leave" }
  | { readonly type: "scheduler lost" };

export type WorkerInstruction =
  | { readonly type: "send"; readonly message: Message }
  | { readonly type: "start"; readonly task: TaskKey; readonly message: TaskMessage; readonly storage: StorageAddress }
  | { readonly type: "end process"; readonly task: TaskKey }
  /** This life is over, nothing runs. To rejoin is to begin another one under a new routing id. */
  | { readonly type: "over"; readonly rejoin: boolean };

export interface WorkerMachineOptions {
  /** How many tasks run at once. */
  readonly processes: number;
  /** How many tasks the scheduler may assign, running ones included. */
  readonly queueSize: number;
  readonly hostname: string;
  /** Where payloads are, if not where the scheduler says. */
  readonly storage?: StorageAddress | undefined;
}

interface Assignment {
  readonly message: TaskMessage;
  state: State;
}

export class WorkerMachine {
  /** What is held, in the order in which it came. */
  private readonly assignments = new Map<TaskKey, Assignment>();
  private storage: StorageAddress | undefined;
  private leaving: { goodBye: boolean; rejoin: boolean } | undefined;
  private over = false;
  private instructions: WorkerInstruction[] = [];

  constructor(private readonly options: WorkerMachineOptions) {
    this.storage = options.storage;
  }

  handle(input: WorkerInput): readonly WorkerInstruction[] {
    this.instructions = [];
    if (this.over) return this.instructions;
    switch (input.type) {
      case "begin":
      case "heartbeat due":
        this.heartbeat();
        break;
      case "message":
        this.receive(input.message);
        break;
      case "finished":
        this.step(input.task, "finished", input.finished);
        break;
      case "process ended":
        this.step(input.task, "process ended");
        break;
      case "leave":
        this.leave({ goodBye: true, rejoin: false });
        break;
      case "scheduler lost":
        this.leave({ goodBye: false, rejoin: true });
        break;
    }
    if (this.leaving === undefined) this.startWhatIsFree();
    else if (this.assignments.size === 0) this.end(this.leaving);
    return this.instructions;
  }

  private receive(message: Message): void {
    switch (message.kind) {
      case "task": {
        const task = keyOf(message.taskId);
        // W4.1, W1.3
        if (this.leaving === undefined && !this.assignments.has(task)) {
          this.assignments.set(task, { message, state: "queued" });
        }
        return;
      }
      case "taskCancel": {
        const task = keyOf(message.taskId);
        if (this.assignments.has(task)) this.step(task, message.flags.force ? "cancel, force" : "cancel");
        else if (this.leaving?.goodBye !== false) this.confirm(message.taskId, "cancelNotFound"); // W2.4
        return;
      }
      case "workerHeartbeatEcho":
        this.storage ??= message.objectStorageAddress; // It does not change while the scheduler runs.
        return;
      case "clientDisconnect":
        // W4.2, W4.3; a value without a name is `disconnect` (M6).
        if (message.disconnectType === "shutdown") this.leave({ goodBye: true, rejoin: false });
        else this.leave({ goodBye: false, rejoin: true });
        return;
      default: // M3: dropped; the shell has counted it
    }
  }

  /** One row of the table. */
  private step(task: TaskKey, event: Event, finished?: Finished): void {
    const assignment = this.assignments.get(task);
    if (assignment === undefined) return;
    const step = WORKER_TABLE.step(assignment.state, event);
    if (step === undefined) return;
    assignment.state = step.next;
    if (step.next === "ended") this.assignments.delete(task);
    const { taskId } = assignment.message;
    switch (step.does) {
      case "start it":
        if (this.storage === undefined) throw new Error("a task was started before the storage was known");
        this.instructions.push({ type: "start", task, message: assignment.message, storage: this.storage });
        return;
      case "end its process":
        this.instructions.push({ type: "end process", task });
        return;
      case "TaskResult":
        if (finished === undefined) throw new Error("a task finished without a result");
        this.send({ kind: "taskResult", taskId, metadata: new Uint8Array(), ...finished });
        return;
      case "TaskResult, failedWorkerDied":
        this.send({
          kind: "taskResult",
          taskId,
          resultType: "failedWorkerDied",
          metadata: new Uint8Array(),
          results: [],
        });
        return;
      case "TaskCancelConfirm, canceled":
        this.confirm(taskId, "canceled");
        return;
      case "TaskCancelConfirm, cancelFailed":
        this.confirm(taskId, "cancelFailed");
        return;
      case "nothing":
    }
  }

  /** Starts tasks in the order in which they came. Where payloads are is said by the first echo: Tasks may come before. */
  private startWhatIsFree(): void {
    if (this.storage === undefined) return;
    const states = [...this.assignments.values()];
    let free = this.options.processes - states.filter(({ state }) => state !== "queued").length;
    for (const [task, { state }] of this.assignments) {
      if (free <= 0) return;
      if (state !== "queued") continue;
      this.step(task, "start");
      free -= 1;
    }
  }

  /** Ends everything. What is said first about silence and about not coming back is not taken back. */
  private leave({ goodBye, rejoin }: { goodBye: boolean; rejoin: boolean }): void {
    this.leaving = {
      goodBye: goodBye && this.leaving?.goodBye !== false,
      rejoin: rejoin && this.leaving?.rejoin !== false,
    };
    for (const task of [...this.assignments.keys()]) this.step(task, "leave");
  }

  private end({ goodBye, rejoin }: { goodBye: boolean; rejoin: boolean }): void {
    if (goodBye) this.send({ kind: "workerDisconnectNotification" });
    this.over = true;
    this.instructions.push({ type: "over", rejoin });
  }

  private heartbeat(): void {
    if (this.leaving?.goodBye === false) return; // It has been declared lost: it says nothing more.
    const queuedTasks = [...this.assignments.values()].filter(({ state }) => state === "queued").length;
    this.send({
      kind: "workerHeartbeat",
      agent: NO_RESOURCE,
      rssFree: 0n,
      queueSize: this.options.queueSize,
      queuedTasks,
      latencyMicroseconds: 0,
      taskLock: false,
      processors: [],
      capabilities: [],
      workerManagerID: new Uint8Array(),
      memLimit: 0n,
      hostname: this.options.hostname,
      netSentBytes: 0n,
      netRecvBytes: 0n,
    });
  }

  private confirm(taskId: Uint8Array, cancelConfirmType: "canceled" | "cancelFailed" | "cancelNotFound"): void {
    this.send({ kind: "taskCancelConfirm", taskId, cancelConfirmType });
  }

  private send(message: Message): void {
    this.instructions.push({ type: "send", message });
  }
}
