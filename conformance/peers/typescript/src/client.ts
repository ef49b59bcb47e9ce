/** A client: the machine with a connection, timers and promises. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { AbortSignals } from "./abort_signals.js";
import { type Call, type ClientInput, type ClientInstruction, ClientMachine } from "./client_machine.js";
import { Connection, DEFAULT_TIMING, LONGEST_TIMER_MS, type Timing } from "./connection.js";
import { checkGraph, type Graph, NodeReference } from "./graph.js";
import type { Kind, StorageAddress, TaskMessage, TaskResultMessage } from "./layout.js";
import { functionPayload, readValue, TaskError, valuePayload } from "./payloads.js";
import { FileStore, folderAddress, newObjectId } from "./store.js";
import { type CancelOptions, Task, type TaskOwner } from "./task.js";
import { keyOf, type TaskKey } from "./task_key.js";

export { node } from "./graph.js";
export { TaskError } from "./payloads.js";
export { type CancelOptions, type Task, TaskCancelledError } from "./task.js";

export interface ClientOptions extends Partial<Timing> {
  /** The scheduler, as "tcp://127.0.0.1:2345". */
  readonly endpoint: string;
  /** The folder with the payloads, if they are not where the scheduler says. */
  readonly folder?: string;
  /** Part of the routing id, for people. */
  readonly name?: string;
  /** What tasks write; by default it is written to standard output and standard error. */
  readonly onLog?: (stream: "stdout" | "stderr", text: string) => void;
}

export interface SubmitOptions {
  /** When it aborts, the task is cancelled with force. */
  readonly signal?: AbortSignal;
}

/** The functions that workers have: `Client.connect<typeof import("./tasks.js")>(...)`. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- functions with any arguments
export type Functions<F> = { readonly [Name in keyof F]: (...args: any[]) => unknown };

const RECEIVED: ReadonlySet<Kind> = new Set([
  "taskCancelConfirm",
  "taskResult",
  "taskLog",
  "clientHeartbeatEcho",
  "clientDisconnect",
  "clientShutdownResponse",
]);
const DEFAULT_CANCEL_TIMEOUT = 30;
const NOTHING = new Uint8Array();

interface Waiting {
  readonly resolve: (returned: boolean) => void;
  readonly timer?: NodeJS.Timeout | undefined;
}

export class Client<F extends Functions<F> = Record<string, (...args: unknown[]) => unknown>> implements TaskOwner {
  private readonly machine = new ClientMachine(hostname());
  private readonly connection: Connection;
  private readonly tasks = new Map<TaskKey, Task<unknown>>();
  private readonly waiting = new Map<Call, Waiting>();
  private readonly functionIds = new Map<string, Uint8Array>();
  /** The arguments that were stored for each task, or graph. */
  private readonly argumentIds = new Map<TaskKey, Uint8Array[]>();
  private readonly signals = new AbortSignals();
  private store: FileStore | undefined;
  private calls = 0;
  private over = false;

  /** Resolves when the scheduler has answered; rejects if it does not within the scheduler time-out. */
  static connect<F extends Functions<F> = Record<string, (...args: unknown[]) => unknown>>(
    options: ClientOptions,
  ): Promise<Client<F>> {
    return new Promise((resolve, reject) => {
      const client: Client<F> = new Client<F>(options, (error) => {
        if (error === undefined) resolve(client);
        else reject(error);
      });
    });
  }

  private constructor(
    private readonly options: ClientOptions,
    /** Told of the first echo, or of its failure to come. Later calls have no effect. */
    private readonly connected: (error?: Error) => void,
  ) {
    this.connection = new Connection(
      options.endpoint,
      `Client|${options.name ?? hostname()}`,
      {
        heartbeatInterval: options.heartbeatInterval ?? DEFAULT_TIMING.heartbeatInterval,
        schedulerTimeout: options.schedulerTimeout ?? DEFAULT_TIMING.schedulerTimeout,
      },
      RECEIVED,
      {
        message: (message) => {
          if (message.kind === "taskLog") this.log(message.taskId, message.logType, message.content);
          else this.handle({ type: "message", message });
        },
        heartbeatDue: () => this.handle({ type: "heartbeat due" }),
        schedulerLost: () => this.handle({ type: "scheduler lost" }),
      },
    );
    this.handle({ type: "begin" });
  }

  /** Submits a call of one of the worker's functions. Throws if the client is not connected any more. */
  submit<Name extends keyof F & string>(
    name: Name,
    args: Parameters<F[Name]>,
    { signal }: SubmitOptions = {},
  ): Task<Awaited<ReturnType<F[Name]>>> {
    signal?.throwIfAborted();
    const id = newId();
    const message = this.storing(keyOf(id), () => this.message(id, name, args, new Map()));
    const task = this.hold(message.taskId, signal, () => this.forget(keyOf(message.taskId)));
    this.handle({ type: "submit", message });
    return task as Task<Awaited<ReturnType<F[Name]>>>;
  }

  /**
   * Submits calls that depend on one another (`node("a")` as an argument), and returns the tasks of the targets. To
   * cancel one cancels that task. Throws if a node is missing or the graph has a cycle (C13.4).
   */
  submitGraph<Target extends string>(
    graph: Graph,
    targets: readonly Target[],
    { signal }: SubmitOptions = {},
  ): Record<Target, Task<unknown>> {
    signal?.throwIfAborted();
    checkGraph(graph, targets);
    const ids = new Map(Object.keys(graph).map((name) => [name, newId()]));
    const graphId = newId();
    const messages = this.storing(keyOf(graphId), () =>
      Object.entries(graph).map(([name, call]) =>
        this.message(ids.get(name) ?? newId(), call.function, call.arguments, ids, keyOf(graphId)),
      ),
    );
    const named = [...new Set(targets)].map((target) => ({ target, id: ids.get(target) ?? newId() }));
    const tasks = named.map(({ target, id }) => [target, this.hold(id, signal, () => this.tasks.delete(keyOf(id)))]);
    this.handle({
      type: "submit",
      message: {
        kind: "graphTask",
        taskId: graphId,
        source: this.source,
        targets: named.map(({ id }) => id),
        graph: messages,
      },
    });
    return Object.fromEntries(tasks) as Record<Target, Task<unknown>>;
  }

  /** Leaves: cancels what is not settled, at once (C10.1). */
  disconnect(): void {
    this.handle({ type: "disconnect" });
  }

  /** `Task.cancel`. */
  cancel(task: Task<unknown>, { force = false, timeout = DEFAULT_CANCEL_TIMEOUT }: CancelOptions): Promise<boolean> {
    const call = ++this.calls;
    const milliseconds = timeout * 1000;
    return this.wait(
      call,
      () => this.handle({ type: "cancel", task: keyOf(task.id), call, force }),
      milliseconds > LONGEST_TIMER_MS
        ? undefined
        : setTimeout(() => this.handle({ type: "time limit", task: keyOf(task.id), call }), milliseconds),
    );
  }

  /** `Task.cancelled`. */
  cancelled(task: Task<unknown>): Promise<boolean> {
    const call = ++this.calls;
    return this.wait(call, () => this.handle({ type: "ask", task: keyOf(task.id), call }));
  }

  /** A call that the machine will answer. It is there before what causes the answer (C8.2). */
  private wait(call: Call, ask: () => void, timer?: NodeJS.Timeout): Promise<boolean> {
    return new Promise((resolve) => {
      this.waiting.set(call, { resolve, timer });
      ask();
    });
  }

  private get source(): Uint8Array {
    return Buffer.from(this.connection.routingId);
  }

  private get payloads(): FileStore {
    if (this.over || this.store === undefined) throw new Error("the client is not connected any more");
    return this.store;
  }

  private message(
    taskId: Uint8Array,
    name: string,
    args: readonly unknown[],
    nodes: ReadonlyMap<string, Uint8Array>,
    owner: TaskKey = keyOf(taskId),
  ): TaskMessage {
    // Stored before the Task is sent, so that workers find everything (W3.2).
    const functionArgs = args.map((argument) => {
      if (argument instanceof NodeReference) {
        return { type: "task", data: nodes.get(argument.name) ?? NOTHING } as const;
      }
      const data = newObjectId();
      const payload = valuePayload(argument);
      this.argumentIds.set(owner, [...(this.argumentIds.get(owner) ?? []), data]);
      this.payloads.put(data, payload);
      return { type: "objectID", data } as const;
    });
    return {
      kind: "task",
      taskId,
      source: this.source,
      metadata: NOTHING,
      funcObjectId: this.functionId(name),
      functionArgs,
      capabilities: [],
    };
  }

  /** Makes what is to be submitted. If an argument cannot be stored, those before it are released. */
  private storing<Made>(owner: TaskKey, make: () => Made): Made {
    try {
      return make();
    } catch (error) {
      this.forget(owner);
      throw error;
    }
  }

  private functionId(name: string): Uint8Array {
    let id = this.functionIds.get(name);
    if (id === undefined) {
      id = newObjectId();
      this.payloads.put(id, functionPayload(name));
      this.functionIds.set(name, id);
    }
    return id;
  }

  private hold(id: Uint8Array, signal: AbortSignal | undefined, settled: () => void): Task<unknown> {
    const task: Task<unknown> = new Task(
      id,
      this,
      () => {
        stopListening?.();
        settled();
      },
      () => signal?.reason,
    );
    const stopListening = signal && this.signals.listen(signal, () => void task.cancel({ force: true }));
    this.tasks.set(keyOf(id), task);
    return task;
  }

  /** Nothing reads the arguments any more. */
  private forget(key: TaskKey): void {
    this.tasks.delete(key);
    this.store?.delete(this.argumentIds.get(key) ?? []);
    this.argumentIds.delete(key);
  }

  private handle(input: ClientInput): void {
    for (const instruction of this.machine.handle(input)) this.carryOut(instruction);
  }

  private carryOut(instruction: ClientInstruction): void {
    switch (instruction.type) {
      case "send":
        this.connection.send(instruction.message);
        return;
      case "finish":
        this.tasks.get(instruction.task)?.finish(() => this.read(instruction.result));
        return;
      case "cancelled":
        this.tasks.get(instruction.task)?.becomeCancelled(instruction.outcome);
        return;
      case "refused": {
        const task = this.tasks.get(instruction.task);
        if (task !== undefined) task.outcome = "refused";
        return;
      }
      case "answer": {
        const waiting = this.waiting.get(instruction.call);
        clearTimeout(waiting?.timer);
        this.waiting.delete(instruction.call);
        waiting?.resolve(instruction.returned);
        return;
      }
      case "release":
        this.store?.delete(instruction.objects);
        return;
      case "graph over":
        this.forget(instruction.graph);
        return;
      case "storage":
        this.openStore(this.options.folder === undefined ? instruction.address : folderAddress(this.options.folder));
        return;
      case "over":
        this.over = true;
        this.connection.close();
        this.store?.delete(this.functionIds.values());
        this.connected(new Error("the scheduler did not answer"));
        return;
    }
  }

  private openStore(address: StorageAddress): void {
    if (this.store !== undefined) return; // It does not change while the scheduler runs.
    try {
      this.store = new FileStore(address);
      this.connected();
    } catch (error) {
      this.connected(error as Error);
      this.disconnect();
    }
  }

  /** The value of a result; throws if it is none (C2.4). A type without a name is a failure (M6). */
  private read({ resultType, results }: TaskResultMessage): unknown {
    const [id] = results;
    const value = id === undefined ? undefined : readValue(this.payloads.get(id));
    if (resultType === "success") return value;
    const why = resultType === "failedWorkerDied" ? "what ran the task died" : "the task failed, without an error";
    throw new TaskError(why, String(resultType), undefined);
  }

  private log(taskId: Uint8Array, logType: string | number, text: string): void {
    if (!this.tasks.has(keyOf(taskId))) return; // C9.1
    const stream = logType === "stderr" ? "stderr" : "stdout"; // M6
    if (this.options.onLog) this.options.onLog(stream, text);
    else process[stream].write(text);
  }
}

/** UUIDv4 in 16 bytes (M5). */
function newId(): Uint8Array {
  return Buffer.from(randomUUID().replaceAll("-", ""), "hex");
}
