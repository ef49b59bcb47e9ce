/** A worker: the machine with a connection, timers and processes. */
import { hostname } from "node:os";
import { Connection, DEFAULT_TIMING, timerMs, type Timing } from "./connection.js";
import type { Kind } from "./layout.js";
import { folderAddress } from "./store.js";
import { TaskProcesses } from "./task_processes.js";
import { type WorkerInput, type WorkerInstruction, WorkerMachine } from "./worker_machine.js";

export interface WorkerOptions extends Partial<Timing> {
  /** The scheduler, as "tcp://127.0.0.1:2345". */
  readonly endpoint: string;
  /** Path of the module whose exported functions tasks may name. */
  readonly functions: string;
  /** How many tasks run at once (1). */
  readonly processes?: number;
  /** How many tasks the scheduler may assign at once, running ones included (1000). */
  readonly queueSize?: number;
  /** The folder with the payloads, if they are not where the scheduler says. */
  readonly folder?: string;
  /** Part of the routing id, for people. */
  readonly name?: string;
}

const RECEIVED: ReadonlySet<Kind> = new Set(["task", "taskCancel", "workerHeartbeatEcho", "clientDisconnect"]);

export class Worker {
  /** Resolves when the worker has left and comes back no more. */
  readonly gone: Promise<void>;
  private readonly timing: Timing;
  private readonly processes: TaskProcesses;
  private resolveGone: () => void = () => {};
  private machine: WorkerMachine;
  private connection: Connection | undefined;
  private rejoining: NodeJS.Timeout | undefined;
  /** Whether the scheduler has echoed in this life. */
  private echoed = false;

  /** Starts at once. */
  constructor(private readonly options: WorkerOptions) {
    this.timing = {
      heartbeatInterval: options.heartbeatInterval ?? DEFAULT_TIMING.heartbeatInterval,
      schedulerTimeout: options.schedulerTimeout ?? DEFAULT_TIMING.schedulerTimeout,
    };
    this.gone = new Promise((resolve) => {
      this.resolveGone = resolve;
    });
    this.processes = new TaskProcesses(options.functions, {
      finished: (task, finished) => this.handle({ type: "finished", task, finished }),
      ended: (task) => this.handle({ type: "process ended", task }),
    });
    this.processes.warmUp(options.processes ?? 1);
    this.machine = this.join();
  }

  /** Ends what runs and says good-bye (W4.2). Resolves when it has gone. */
  leave(): Promise<void> {
    if (this.rejoining === undefined) this.handle({ type: "leave" });
    else this.over(false);
    return this.gone;
  }

  /** Ends what runs at this moment, and says nothing: for when the program itself ends. */
  kill(): void {
    this.processes.killAll();
  }

  /** Begins a life under a new routing id (T4). */
  private join(): WorkerMachine {
    this.rejoining = undefined;
    this.echoed = false;
    this.machine = new WorkerMachine({
      processes: this.options.processes ?? 1,
      queueSize: this.options.queueSize ?? 1000,
      hostname: hostname(),
      storage: this.options.folder === undefined ? undefined : folderAddress(this.options.folder),
    });
    this.connection = new Connection(
      this.options.endpoint,
      `Worker|${this.options.name ?? hostname()}`,
      this.timing,
      RECEIVED,
      {
        message: (message) => {
          this.echoed ||= message.kind === "workerHeartbeatEcho";
          this.handle({ type: "message", message });
        },
        heartbeatDue: () => this.handle({ type: "heartbeat due" }),
        schedulerLost: () => this.handle({ type: "scheduler lost" }),
      },
    );
    this.handle({ type: "begin" });
    return this.machine;
  }

  private handle(input: WorkerInput): void {
    for (const instruction of this.machine.handle(input)) this.carryOut(instruction);
  }

  private carryOut(instruction: WorkerInstruction): void {
    switch (instruction.type) {
      case "send":
        this.connection?.send(instruction.message);
        return;
      case "start":
        this.processes.start(instruction.task, instruction.message, instruction.storage);
        return;
      case "end process":
        this.processes.end(instruction.task);
        return;
      case "over":
        this.over(instruction.rejoin);
        return;
    }
  }

  private over(rejoin: boolean): void {
    this.connection?.close();
    this.connection = undefined;
    if (rejoin) {
      // A scheduler that has taken it once takes it again at once. One that has not is not to be asked in a loop.
      this.rejoining = setTimeout(() => this.join(), this.echoed ? 0 : timerMs(this.timing.heartbeatInterval));
      return;
    }
    clearTimeout(this.rejoining);
    this.processes.close();
    this.resolveGone();
  }
}
