/** The processes that run a worker's tasks. One runs one task at a time; it is used again until it ends. */
import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { StorageAddress, TaskMessage } from "./layout.js";
import { endMarked, killMarked, MARK } from "./process_tree.js";
import { FileStore, newObjectId } from "./store.js";
import type { TaskKey } from "./task_key.js";
import type { Order, Report } from "./task_process.js";
import type { Finished } from "./worker_machine.js";

export interface TaskProcessesListener {
  finished(task: TaskKey, finished: Finished): void;
  /** What ran the task has ended, all of it, and nothing is left of its result. */
  ended(task: TaskKey): void;
}

interface Running {
  readonly run: number;
  readonly task: TaskKey;
  readonly storage: StorageAddress;
  readonly resultId: Uint8Array;
}

interface TaskProcess {
  readonly child: ChildProcess;
  readonly mark: string;
  running?: Running | undefined;
}

const PROGRAM = fileURLToPath(new URL("task_process.js", import.meta.url));

export class TaskProcesses {
  private readonly processes = new Set<TaskProcess>();
  private runs = 0;

  /** `functions` is the path of the module whose exports tasks may name. */
  constructor(
    private readonly functions: string,
    private readonly listener: TaskProcessesListener,
  ) {}

  /** Has so many processes ready, before there is a task for them. */
  warmUp(count: number): void {
    while (this.processes.size < count) this.begin();
  }

  start(task: TaskKey, message: TaskMessage, storage: StorageAddress): void {
    const idle = [...this.processes].find(({ running, child }) => running === undefined && child.connected);
    const process = idle ?? this.begin();
    const resultId = newObjectId();
    process.running = { run: ++this.runs, task, storage, resultId };
    const order: Order = {
      run: this.runs,
      storage,
      functionId: hex(message.funcObjectId),
      arguments: message.functionArgs.map(({ type, data }) => ({ type, data: hex(data) })),
      resultId: hex(resultId),
    };
    process.child.send(order, () => {}); // If the process is gone, its end is told.
  }

  /** Ends the process of a task: `ended` follows. */
  end(task: TaskKey): void {
    for (const { child, running } of this.processes) if (running?.task === task) child.kill("SIGKILL");
  }

  /** Ends everything, at once and without a word: for when the program itself ends. */
  killAll(): void {
    for (const { mark } of this.processes) killMarked(mark);
  }

  /** Lets processes end that run nothing. */
  close(): void {
    for (const { child } of this.processes) if (child.connected) child.disconnect();
  }

  private begin(): TaskProcess {
    const mark = randomUUID();
    const child = fork(PROGRAM, [this.functions], {
      env: { ...process.env, [MARK]: mark },
      stdio: ["ignore", 2, 2, "ipc"], // Standard output may be the program's protocol with somebody.
    });
    const begun: TaskProcess = { child, mark };
    this.processes.add(begun);
    child.on("message", (report: Report) => this.reported(begun, report));
    child.once("exit", () => void this.exited(begun));
    child.once("error", (error) => {
      console.error("rescind: a process for tasks could not be started:", error);
      if (child.pid === undefined) void this.exited(begun);
    });
    return begun;
  }

  private reported(process: TaskProcess, { run, resultType, results }: Report): void {
    const { running } = process;
    if (running?.run !== run) return;
    // A process that was told to end has its task until it has ended; the machine discards what it reports (W2.5).
    if (!process.child.killed) process.running = undefined;
    this.listener.finished(running.task, { resultType, results: results.map((id) => Buffer.from(id, "hex")) });
  }

  private async exited(process: TaskProcess): Promise<void> {
    await endMarked(process.mark);
    this.processes.delete(process);
    const { running } = process;
    if (running === undefined) return;
    process.running = undefined;
    try {
      new FileStore(running.storage).delete([running.resultId]); // W2.5
    } catch (error) {
      console.error("rescind: what is left of a result could not be released:", error);
    }
    this.listener.ended(running.task);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
