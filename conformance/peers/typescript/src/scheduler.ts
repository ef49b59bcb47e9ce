/** A scheduler: the machine with a ROUTER and timers. */
import { Router } from "zeromq";
import { timerMs } from "./connection.js";
import type { StorageAddress } from "./layout.js";
import { Outbox } from "./outbox.js";
import { Dropped, read } from "./reader.js";
import { type PeerKey, type SchedulerInput, SchedulerMachine } from "./scheduler_machine.js";
import { keyOf } from "./task_key.js";
import { write } from "./writer.js";

export interface SchedulerOptions {
  /** Where to listen, as "tcp://127.0.0.1:*". */
  readonly endpoint: string;
  /** Where payloads are kept. It is passed on to clients and workers, and not used here. */
  readonly storage: StorageAddress;
  /** Seconds of silence after which a worker, or a client, is lost. */
  readonly workerTimeout?: number;
  readonly clientTimeout?: number;
  /** Whether any client may shut the cluster down. */
  readonly acceptShutdown?: boolean;
  /** Seconds that workers have to leave in an orderly shutdown. */
  readonly grace?: number;
}

export class Scheduler {
  /** Resolves when an orderly shutdown is over. */
  readonly gone: Promise<void>;
  private readonly machine: SchedulerMachine;
  private readonly router = new Router({ sendHighWaterMark: 0, receiveHighWaterMark: 0, linger: 1000 }); // T6
  private readonly outbox = new Outbox(this.router);
  private readonly lastHeard = new Map<PeerKey, number>();
  private readonly dropped = new Map<string, number>();
  private resolveGone: () => void = () => {};
  private looked = 0;
  private watching: NodeJS.Timeout | undefined;

  constructor(private readonly options: SchedulerOptions) {
    this.machine = new SchedulerMachine({ storage: options.storage, acceptShutdown: options.acceptShutdown ?? false });
    this.gone = new Promise((resolve) => {
      this.resolveGone = resolve;
    });
  }

  /** Listens, and returns where. */
  async listen(): Promise<string> {
    await this.router.bind(this.options.endpoint).catch((error: unknown) => {
      this.router.close();
      throw new Error(`cannot listen on ${this.options.endpoint}: ${(error as Error).message}`, { cause: error });
    });
    void this.receiveAll();
    const shortest = Math.min(this.options.workerTimeout ?? 60, this.options.clientTimeout ?? 60);
    const interval = timerMs(shortest / 10);
    this.looked = performance.now();
    // What has arrived counts (S9.1): it is read between the timer and the look.
    this.watching = setInterval(() => setTimeout(() => this.look(interval), 5), interval);
    return this.router.lastEndpoint ?? "";
  }

  /** Shuts down in order (S9.10). */
  shutDown(): Promise<void> {
    this.handle({ type: "shut down" });
    const grace = setTimeout(() => this.handle({ type: "grace over" }), timerMs(this.options.grace ?? 5));
    return this.gone.then(() => clearTimeout(grace));
  }

  private look(interval: number): void {
    const now = performance.now();
    const stopped = now - this.looked - interval;
    this.looked = now;
    if (stopped > interval) {
      // This process did not run: that is nobody's silence (S9.1).
      for (const [peer, at] of this.lastHeard) this.lastHeard.set(peer, at + stopped);
    }
    for (const [peer, role] of this.machine.registered()) {
      const timeout = (role === "worker" ? this.options.workerTimeout : this.options.clientTimeout) ?? 60;
      if (now - (this.lastHeard.get(peer) ?? now) > timeout * 1000) {
        this.lastHeard.delete(peer);
        this.handle({ type: "silent", peer });
      }
    }
  }

  private async receiveAll(): Promise<void> {
    for await (const [from, ...frames] of this.router) {
      if (from === undefined) continue;
      const peer = keyOf(from);
      try {
        const [frame] = frames;
        if (frame === undefined || frames.length !== 1) throw new Dropped("not exactly one frame");
        const message = read(frame);
        // A copy: the frame's memory belongs to ZeroMQ, and a Task is kept.
        this.handle({ type: "message", from: peer, received: { message, frame: Buffer.from(frame) } });
        if (this.machine.serves(peer)) this.lastHeard.set(peer, performance.now());
        else this.lastHeard.delete(peer);
      } catch (error) {
        if (!(error instanceof Dropped)) throw error;
        this.drop(peer, error.message);
      }
    }
  }

  private drop(peer: PeerKey, reason: string): void {
    const count = (this.dropped.get(reason) ?? 0) + 1;
    this.dropped.set(reason, count);
    if ((count & (count - 1)) === 0) console.error(`rescind: ${peer}: dropped a message (${count} so far): ${reason}`);
  }

  private handle(input: SchedulerInput): void {
    for (const instruction of this.machine.handle(input)) {
      if (instruction.type === "over") {
        clearInterval(this.watching);
        void this.outbox.drained().then(() => {
          this.router.close();
          this.resolveGone();
        });
        return;
      }
      const frame = instruction.what instanceof Uint8Array ? instruction.what : write(instruction.what);
      // T5: the queue has no bound, and what is for a peer that has gone is discarded.
      this.outbox.send([Buffer.from(instruction.to, "hex"), frame]);
    }
  }
}
