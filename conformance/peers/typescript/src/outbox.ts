/** What waits to be sent over a socket: ZeroMQ for Node.js sends one message at a time, and raises if asked for two. */

type Frames = Uint8Array | Uint8Array[];

export class Outbox {
  private waiting: Frames[] = [];
  private sending: Promise<void> | undefined;

  constructor(private readonly socket: { send(frames: Frames): Promise<void> }) {}

  /** Sends in the order of the calls (T3), and does not wait. */
  send(frames: Frames): void {
    this.waiting.push(frames);
    this.sending ??= this.sendAll();
  }

  /** Resolves when nothing waits any more. */
  async drained(): Promise<void> {
    while (this.sending !== undefined) await this.sending;
  }

  /** Forgets what waits. */
  clear(): void {
    this.waiting = [];
  }

  private async sendAll(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      for (const frames of batch) {
        try {
          await this.socket.send(frames);
        } catch (error) {
          console.error("rescind: could not send:", error);
        }
      }
    }
    this.sending = undefined;
  }
}
