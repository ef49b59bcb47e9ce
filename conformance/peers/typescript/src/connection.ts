/** One life of a peer's connection to a scheduler: socket, heartbeat timer, time-out, and the count of what is dropped. */
import { randomUUID } from "node:crypto";
import { Dealer } from "zeromq";
import type { Kind, Message } from "./layout.js";
import { Outbox } from "./outbox.js";
import { Dropped, read } from "./reader.js";
import { write } from "./writer.js";

export interface Timing {
  /** Seconds between two heartbeats. */
  readonly heartbeatInterval: number;
  /** Seconds of silence after which the scheduler is lost. */
  readonly schedulerTimeout: number;
}

/** SPEC.md, section 9. */
export const DEFAULT_TIMING: Timing = { heartbeatInterval: 2, schedulerTimeout: 60 };

export interface ConnectionListener {
  /** A message that is well-formed and meant for this role. */
  message(message: Message): void;
  heartbeatDue(): void;
  /** The connection dropped (T4), or the scheduler was silent for too long. The connection is closed already. */
  schedulerLost(): void;
}

/** Timers of Node.js with a longer time ring at once: 24.8 days. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Milliseconds for a timer; what is longer than the longest is shortened to it. */
export function timerMs(seconds: number): number {
  return Math.min(seconds * 1000, LONGEST_TIMER_MS);
}

const LINGER_MS = 1000;
/**
 * Until ZeroMQ connects again by itself. After a drop the socket is closed at once, and is gone when it has lingered:
 * ZeroMQ must not go on before that, under the same routing id (T4), nor with what waits to be sent (T7).
 */
const RECONNECT_MS = 2 * LINGER_MS;

export class Connection {
  readonly routingId: string;
  /** How many frames were dropped, by reason (M1, M3). */
  readonly dropped = new Map<string, number>();
  private readonly socket: Dealer;
  private readonly outbox: Outbox;
  private readonly heartbeats: NodeJS.Timeout;
  private readonly silence: NodeJS.Timeout;
  private closed = false;

  constructor(
    endpoint: string,
    name: string,
    timing: Timing,
    private readonly accepted: ReadonlySet<Kind>,
    private readonly listener: ConnectionListener,
  ) {
    this.routingId = `${name}|${randomUUID().replaceAll("-", "")}`;
    this.socket = new Dealer({
      routingId: this.routingId,
      sendHighWaterMark: 0, // T6
      receiveHighWaterMark: 0,
      linger: LINGER_MS,
      reconnectInterval: RECONNECT_MS,
    });
    this.outbox = new Outbox(this.socket);
    // Before connecting: the socket tells only of what happens after it was first asked for its events.
    let connected = false;
    this.socket.events.on("handshake", () => {
      connected = true;
    });
    this.socket.events.on("disconnect", () => {
      if (connected) this.lost();
    });
    try {
      this.socket.connect(endpoint);
    } catch (error) {
      this.socket.close();
      throw new Error(`cannot connect to ${endpoint}; an endpoint is, say, tcp://127.0.0.1:6378`, { cause: error });
    }
    this.heartbeats = setInterval(() => listener.heartbeatDue(), timerMs(timing.heartbeatInterval));
    this.silence = setTimeout(() => this.lost(), timerMs(timing.schedulerTimeout));
    void this.receiveAll();
  }

  /** Sends in the order of the calls (T3). Does not wait: the queue has no bound. */
  send(message: Message): void {
    if (!this.closed) this.outbox.send(write(message));
  }

  /** Sends what is still to be sent, in the background, and hears nothing more. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.heartbeats);
    clearTimeout(this.silence);
    const late = setTimeout(() => this.socket.close(), LINGER_MS);
    void this.outbox.drained().then(() => {
      clearTimeout(late);
      this.socket.close();
    });
  }

  private lost(): void {
    if (this.closed) return;
    // What waits to be sent belongs to this life.
    this.outbox.clear();
    this.socket.linger = 0;
    this.close();
    this.socket.close();
    this.listener.schedulerLost();
  }

  private async receiveAll(): Promise<void> {
    for await (const frames of this.socket) {
      if (this.closed) return;
      this.receive(frames);
    }
  }

  private receive(frames: readonly Uint8Array[]): void {
    try {
      const [frame] = frames;
      if (frame === undefined || frames.length !== 1) throw new Dropped("not exactly one frame");
      const message = read(frame);
      this.silence.refresh();
      if (message.kind === "objectInstruction") return; // Not an error: payloads are outside of the protocol.
      if (!this.accepted.has(message.kind)) throw new Dropped(`unexpected member ${message.kind}`);
      this.listener.message(message);
    } catch (error) {
      if (!(error instanceof Dropped)) throw error;
      this.drop(error.message);
    }
  }

  private drop(reason: string): void {
    const count = (this.dropped.get(reason) ?? 0) + 1;
    this.dropped.set(reason, count);
    // Ever more rarely: at 1, 2, 4, 8...
    if ((count & (count - 1)) === 0) {
      console.error(`rescind: ${this.routingId} dropped a message of the scheduler (${count} so far): ${reason}`);
    }
  }
}
