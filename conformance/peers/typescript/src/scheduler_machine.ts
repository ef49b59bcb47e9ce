/**
 * What a scheduler does, as a function of what happens to it: no sockets, no clocks.
 *
 * It refuses graphs (S1.3), takes no task back in order to move it (S7.1: it may), and does not look at capabilities.
 */
import type { Message, StorageAddress } from "./layout.js";
import { type Action, type Event, SCHEDULER_TABLE, type State } from "./scheduler_table.js";
import { keyOf, type TaskKey } from "./task_key.js";

/** A routing id in hexadecimal. */
export type PeerKey = string;

/** A message with the frame that it was read from: what is passed on is the frame, with all that is in it (S1.5). */
export interface Received {
  readonly message: Message;
  readonly frame: Uint8Array;
}

export type SchedulerInput =
  | { readonly type: "message"; readonly from: PeerKey; readonly received: Received }
  /** Nothing well-formed has come from this peer for its time-out (S9.1). */
  | { readonly type: "silent"; readonly peer: PeerKey }
  /** Shut down in order (S9.10). */
  | { readonly type: "shut down" }
  | { readonly type: "grace over" };

export type SchedulerInstruction =
  | { readonly type: "send"; readonly to: PeerKey; readonly what: Message | Uint8Array }
  /** All is answered, the scheduler may exit. */
  | { readonly type: "over" };

export interface SchedulerMachineOptions {
  readonly storage: StorageAddress;
  /** With how many workers a task may be lost (S9.4). */
  readonly attempts?: number;
  /** How many ids of lost peers of each role are remembered (S9.6, S9.8). */
  readonly remembered?: number;
  /** Whether any client may shut the cluster down (S11.6). */
  readonly acceptShutdown?: boolean;
}

type Role = "client" | "worker";

interface Peer {
  readonly role: Role;
  /** A worker's: how many tasks it takes. */
  queueSize: number;
  /** A client's: those that it owns. A worker's: those that it holds. */
  readonly tasks: Set<TaskKey>;
}

interface Task {
  readonly taskId: Uint8Array;
  readonly frame: Uint8Array;
  readonly owner: PeerKey;
  holder: PeerKey | undefined;
  state: State;
  losses: number;
}

export class SchedulerMachine {
  private readonly peers = new Map<PeerKey, Peer>();
  /** The ids of lost peers, and whether they have been told. */
  private readonly lost: Record<Role, Map<PeerKey, boolean>> = { client: new Map(), worker: new Map() };
  private readonly tasks = new Map<TaskKey, Task>();
  /** Those that wait for a place, in order. To take one out costs the same however many there are (S3.2). */
  private readonly queue = new Set<TaskKey>();
  private closing = false;
  private over = false;
  private instructions: SchedulerInstruction[] = [];

  constructor(private readonly options: SchedulerMachineOptions) {}

  handle(input: SchedulerInput): readonly SchedulerInstruction[] {
    this.instructions = [];
    if (this.over) return this.instructions;
    switch (input.type) {
      case "message":
        this.receive(input.from, input.received);
        break;
      case "silent":
        this.lose(input.peer, "silent");
        break;
      case "shut down":
        this.shutDown();
        break;
      case "grace over":
        this.end();
        break;
    }
    if (this.closing && !this.over && ![...this.peers.values()].some(({ role }) => role === "worker")) this.end();
    return this.instructions;
  }

  /** Whether this peer is served. */
  serves(peer: PeerKey): boolean {
    return this.peers.has(peer);
  }

  /** The peers that are served, of which the shell watches the silence. */
  registered(): Iterable<[PeerKey, Role]> {
    return [...this.peers].map(([key, { role }]) => [key, role]);
  }

  private receive(from: PeerKey, { message, frame }: Received): void {
    const role = this.peers.get(from)?.role ?? (this.lost.worker.has(from) ? "worker" : undefined);
    const known = role ?? (this.lost.client.has(from) ? "client" : undefined);
    switch (message.kind) {
      case "task":
      case "graphTask":
      case "taskCancel":
      case "clientHeartbeat":
      case "clientDisconnect":
        if (known !== "worker") this.fromClient(from, message, frame); // S11.3
        return;
      case "taskResult":
      case "taskCancelConfirm":
      case "taskLog":
      case "workerHeartbeat":
      case "workerDisconnectNotification":
        if (known !== "client") this.fromWorker(from, message, frame);
        return;
      default: // M3: dropped; the shell has counted it
    }
  }

  private fromClient(client: PeerKey, message: Message, frame: Uint8Array): void {
    const lost = this.lost.client.has(client);
    switch (message.kind) {
      case "task":
        this.accept(client, message.taskId, frame);
        return;
      case "graphTask":
        this.refuseGraph(client, message.taskId, message.targets);
        return;
      case "taskCancel": {
        const key = keyOf(message.taskId);
        if (this.owned(client, key) === undefined)
          this.confirm(client, message.taskId, "cancelNotFound"); // S2.1, S2.2
        else this.step(key, message.flags.force ? "cancel, force" : "cancel");
        return;
      }
      case "clientHeartbeat":
        if (lost) {
          this.send(client, { kind: "clientDisconnect", disconnectType: "disconnect" });
          return;
        }
        this.register(client, "client");
        this.send(client, { kind: "clientHeartbeatEcho", objectStorageAddress: this.options.storage });
        return;
      case "clientDisconnect":
        if (lost) return; // S9.8
        if (message.disconnectType === "shutdown") {
          // S11.6: also of a client that is not registered
          const accepted = this.options.acceptShutdown ?? false;
          this.send(client, { kind: "clientShutdownResponse", accepted });
          if (accepted) this.shutDown();
        } else {
          this.lose(client, "good-bye");
        }
        return;
    }
  }

  private fromWorker(worker: PeerKey, message: Message, frame: Uint8Array): void {
    const told = this.lost.worker.get(worker);
    switch (message.kind) {
      case "workerHeartbeat": {
        if (told !== undefined || this.closing) {
          // S9.6: first `disconnect`, then `shutdown`
          const disconnectType = told === false && !this.closing ? "disconnect" : "shutdown";
          if (told !== undefined) this.lost.worker.set(worker, true);
          if (told !== undefined || !this.peers.has(worker)) {
            this.send(worker, { kind: "clientDisconnect", disconnectType });
            return;
          }
        }
        const peer = this.register(worker, "worker");
        peer.queueSize = message.queueSize;
        this.dispatch();
        this.send(worker, { kind: "workerHeartbeatEcho", objectStorageAddress: this.options.storage }); // S10.2: last
        return;
      }
      case "workerDisconnectNotification":
        this.lose(worker, "good-bye");
        return;
      case "taskResult":
        if (this.held(worker, message.taskId)) this.step(keyOf(message.taskId), "result", frame);
        return;
      case "taskCancelConfirm":
        if (typeof message.cancelConfirmType === "number") return; // M6
        if (this.held(worker, message.taskId)) this.step(keyOf(message.taskId), message.cancelConfirmType, frame);
        return;
      case "taskLog": {
        const task = this.held(worker, message.taskId);
        if (task && task.state !== "abandoned") this.send(task.owner, frame); // S8.4
        return;
      }
    }
  }

  /** S12.2: each target once, then the graph. What is no task id, or is held for this client, is left out (S1.4). */
  private refuseGraph(client: PeerKey, graph: Uint8Array, targets: readonly Uint8Array[]): void {
    if (this.owned(client, keyOf(graph)) !== undefined) return;
    const unique = new Map([...targets, graph].map((id) => [keyOf(id), id]));
    unique.delete(keyOf(graph));
    for (const [key, id] of [...unique, [keyOf(graph), graph] as const]) {
      const isTaskId = id.length >= 1 && id.length <= 255;
      if (isTaskId && this.owned(client, key) === undefined) this.confirm(client, id, "cancelNotFound");
    }
  }

  private accept(client: PeerKey, taskId: Uint8Array, frame: Uint8Array): void {
    const key = keyOf(taskId);
    if (this.owned(client, key) !== undefined) return; // S1.4
    if (this.closing || this.tasks.has(key) || this.lost.client.has(client)) {
      this.confirm(client, taskId, "cancelNotFound"); // S1.3
      return;
    }
    this.register(client, "client").tasks.add(key);
    this.tasks.set(key, { taskId, frame, owner: client, holder: undefined, state: "queued", losses: 0 });
    this.queue.add(key);
    this.dispatch();
  }

  private register(peer: PeerKey, role: Role): Peer {
    const registered = this.peers.get(peer) ?? { role, queueSize: 0, tasks: new Set() };
    this.peers.set(peer, registered);
    return registered;
  }

  /** The task, if this client is its owner and not lost. */
  private owned(client: PeerKey, key: TaskKey): Task | undefined {
    return this.peers.get(client)?.role === "client" && this.tasks.get(key)?.owner === client
      ? this.tasks.get(key)
      : undefined;
  }

  /** The task, if this worker is its holder (S8.1). */
  private held(worker: PeerKey, taskId: Uint8Array): Task | undefined {
    const task = this.tasks.get(keyOf(taskId));
    return task?.holder === worker ? task : undefined;
  }

  /** S9.9: no task waits while a worker has room. */
  private dispatch(): void {
    if (this.closing) return;
    for (const key of this.queue) {
      const worker = this.withRoom();
      if (worker === undefined) return;
      const task = this.tasks.get(key);
      if (task === undefined) continue;
      task.holder = worker;
      this.peers.get(worker)?.tasks.add(key);
      this.step(key, "dispatch");
    }
  }

  /** The worker with the fewest tasks, if it has room. */
  private withRoom(): PeerKey | undefined {
    let best: { key: PeerKey; tasks: number } | undefined;
    for (const [key, { role, queueSize, tasks }] of this.peers) {
      if (role !== "worker" || tasks.size >= queueSize) continue;
      if (best === undefined || tasks.size < best.tasks) best = { key, tasks: tasks.size };
    }
    return best?.key;
  }

  /** One row of the table. */
  private step(key: TaskKey, event: Event, answer?: Uint8Array): void {
    const task = this.tasks.get(key);
    if (task === undefined) return;
    const step = SCHEDULER_TABLE.step(task.state, event);
    if (step === undefined) return;
    task.state = step.next;
    const { holder } = task;
    if (step.next === "queued") this.queue.add(key);
    else this.queue.delete(key);
    if (step.next === "queued" || step.next === "ended") {
      if (holder !== undefined) this.peers.get(holder)?.tasks.delete(key);
      task.holder = undefined;
    }
    if (step.next === "ended") {
      this.tasks.delete(key);
      this.peers.get(task.owner)?.tasks.delete(key);
    }
    this.carryOut(step.does, task, answer);
    // A place has become free, unless this is a part of a loss (S9.5): then all of it comes first.
    if (event !== "worker lost" && event !== "worker lost again" && holder !== undefined && task.holder === undefined) {
      this.dispatch();
    }
  }

  private carryOut(does: Action, { taskId, frame, owner, holder }: Task, answer: Uint8Array | undefined): void {
    const worker = holder ?? "";
    switch (does) {
      case "Task to worker":
        this.send(worker, frame);
        return;
      case "TaskCancel to worker":
        this.send(worker, { kind: "taskCancel", taskId, flags: { force: false } });
        return;
      case "TaskCancel, force, to worker":
        this.send(worker, { kind: "taskCancel", taskId, flags: { force: true } });
        return;
      case "the answer to owner":
        if (answer === undefined) throw new Error("there is no answer to pass on");
        this.send(owner, answer);
        return;
      case "canceled to owner":
        this.confirm(owner, taskId, "canceled");
        return;
      case "failedWorkerDied to owner": {
        const nothing = new Uint8Array();
        const died = { resultType: "failedWorkerDied", metadata: nothing, results: [] } as const;
        this.send(owner, { kind: "taskResult", taskId, ...died });
        return;
      }
      case "the failure to owner": // of nodes: graphs are refused
      case "nothing":
    }
  }

  private lose(key: PeerKey, how: "good-bye" | "silent"): void {
    const peer = this.peers.get(key);
    if (peer === undefined) return;
    this.peers.delete(key);
    this.remember(peer.role, key);
    if (peer.role === "worker") {
      for (const task of peer.tasks) this.loseAtWorker(task); // S9.5
    } else {
      for (const task of peer.tasks) {
        const { taskId } = this.tasks.get(task) ?? {};
        if (taskId && how === "silent") this.confirm(key, taskId, "cancelNotFound"); // S9.11
        this.step(task, "owner lost");
      }
    }
    this.dispatch();
  }

  private loseAtWorker(key: TaskKey): void {
    const task = this.tasks.get(key);
    if (task === undefined) return;
    task.losses += 1;
    if (this.closing) this.step(key, "close");
    else this.step(key, task.losses < (this.options.attempts ?? 3) ? "worker lost" : "worker lost again");
  }

  private remember(role: Role, key: PeerKey): void {
    const remembered = this.lost[role];
    remembered.set(key, false);
    for (const oldest of remembered.keys()) {
      if (remembered.size <= (this.options.remembered ?? 4096)) return;
      remembered.delete(oldest);
    }
  }

  private shutDown(): void {
    if (this.closing) return;
    this.closing = true;
    for (const key of [...this.queue]) this.step(key, "close");
    for (const [key, { role }] of this.peers) {
      if (role === "worker") this.send(key, { kind: "clientDisconnect", disconnectType: "shutdown" });
    }
  }

  private end(): void {
    for (const key of [...this.tasks.keys()]) this.step(key, "close");
    this.over = true;
    this.instructions.push({ type: "over" });
  }

  private confirm(to: PeerKey, taskId: Uint8Array, cancelConfirmType: "canceled" | "cancelNotFound"): void {
    this.send(to, { kind: "taskCancelConfirm", taskId, cancelConfirmType });
  }

  private send(to: PeerKey, what: Message | Uint8Array): void {
    this.instructions.push({ type: "send", to, what });
  }
}
