/** What a client has of a task that it has submitted. */
import type { Outcome } from "./client_machine.js";

/** The task was cancelled, and has no result. Its name is what `AbortSignal` users look for. */
export class TaskCancelledError extends Error {
  override readonly name = "AbortError";

  constructor(
    readonly outcome: Outcome,
    cause?: unknown,
  ) {
    super(`the task was cancelled: ${outcome}`, { cause });
  }
}

export interface CancelOptions {
  /** End the task even if it runs (false). Without force one that runs goes on, and the answer is false. */
  readonly force?: boolean;
  /** Seconds after which the task counts as cancelled without an answer (30; C5.1). `Infinity`: none. */
  readonly timeout?: number;
}

/** What the client does for its tasks. */
export interface TaskOwner {
  cancel(task: Task<unknown>, options: CancelOptions): Promise<boolean>;
  cancelled(task: Task<unknown>): Promise<boolean>;
}

export class Task<T> {
  /**
   * The value that the function returned. Rejects with a `TaskError` if the task failed, with `TaskCancelledError` if
   * it was cancelled. A rejection that nobody awaits is no unhandled one: the task may have been cancelled on purpose.
   */
  readonly result: Promise<T>;
  /** How it came to be cancelled, or how its last cancel ended (C5.2). */
  outcome: Outcome | undefined;
  private state: "running" | "finished" | "cancelled" = "running";
  private resolve: (value: T) => void = () => {};
  private reject: (error: unknown) => void = () => {};

  /** Made by a client. */
  constructor(
    readonly id: Uint8Array,
    private readonly owner: TaskOwner,
    private readonly settled: () => void,
    private readonly reason: () => unknown = () => undefined,
  ) {
    this.result = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.result.catch(() => {});
  }

  /** Until it is settled the client knows no more than that it has been submitted. */
  get running(): boolean {
    return this.state === "running";
  }

  get done(): boolean {
    return this.state !== "running";
  }

  /**
   * Asks to cancel the task. True: it is cancelled, and `result` rejects. False: it goes on, or had ended before.
   * Calls at the same time share one question and its answer (C6.2). Never rejects.
   */
  cancel(options: CancelOptions = {}): Promise<boolean> {
    if (this.done) return Promise.resolve(this.state === "cancelled"); // C6.1
    return this.owner.cancel(this as Task<unknown>, options);
  }

  /** Whether it is cancelled; while a `cancel()` waits for its answer, so does this (C7.1). */
  cancelled(): Promise<boolean> {
    if (this.done) return Promise.resolve(this.state === "cancelled");
    return this.owner.cancelled(this as Task<unknown>);
  }

  /** For the client: settles it, once (C8.1). */
  finish(read: () => T): void {
    this.state = "finished";
    try {
      this.resolve(read());
    } catch (error) {
      this.reject(error);
    }
    this.settled();
  }

  /** For the client: settles it, once (C8.1). */
  becomeCancelled(outcome: Outcome): void {
    this.state = "cancelled";
    this.outcome = outcome;
    this.reject(new TaskCancelledError(outcome, this.reason()));
    this.settled();
  }
}
