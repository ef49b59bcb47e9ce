/** The functions that the tests' tasks run. */
import { spawn } from "node:child_process";
import { valuePayload } from "../src/payloads.js";
import type { TaskContext } from "../src/task_process.js";

export function add(a: number, b: number): number {
  return a + b;
}

export function raise(): never {
  throw new Error("on purpose");
}

export function unstorable(): unknown {
  return () => {};
}

export function die(): void {
  process.kill(process.pid, "SIGKILL");
}

/** Stores half a result, starts a process in a session of its own, says which, and computes for ever. */
export function spinWithChild(this: TaskContext): void {
  const child = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
  this.store.put(this.resultId, valuePayload("half of it"));
  this.store.put(Buffer.from("begun"), valuePayload([child.pid, Buffer.from(this.resultId).toString("hex")]));
  for (;;);
}
