/** A connection of a program that does not get on for a while, as on a machine that is busy with something else. */
import { test } from "node:test";
import { Dealer, Router, Socket } from "zeromq";
import { Connection } from "../src/connection.js";
import type { Message } from "../src/layout.js";

const LONG = { heartbeatInterval: 3600, schedulerTimeout: 3600 };
const HANG = { timeout: 60_000 };
const HEARTBEAT: Message = {
  kind: "clientHeartbeat",
  resource: { cpu: 0, rss: 0n },
  latencyMicroseconds: 0,
  hostname: "",
};

/** Holds this thread up. ZeroMQ's own goes on. */
function holdUp(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

test("T4: a drop is noticed, though the program was held up as it connected", HANG, async () => {
  const router = new Router({ linger: 0 });
  await router.bind("tcp://127.0.0.1:*");
  Object.defineProperty(Dealer.prototype, "connect", {
    configurable: true,
    value(this: Dealer, address: string) {
      Socket.prototype.connect.call(this, address);
      holdUp(500);
    },
  });
  try {
    await new Promise<void>((resolve) => {
      const listener = { message: () => {}, heartbeatDue: () => {}, schedulerLost: resolve };
      const connection = new Connection(router.lastEndpoint ?? "", "Client|test", LONG, new Set(), listener);
      connection.send(HEARTBEAT);
      void router.receive().then(() => router.close());
    });
  } finally {
    Reflect.deleteProperty(Dealer.prototype, "connect");
  }
});
