/** The functions that a worker started with this module can run. */
import { setTimeout as wait } from "node:timers/promises";

/** Waits so many seconds, without computing. Returns them. */
export async function sleep(seconds: number): Promise<number> {
  await wait(seconds * 1000);
  return seconds;
}

/** Computes for so many seconds without giving way: only force ends it. Returns how often it went round. */
export function spin(seconds: number): number {
  const end = performance.now() + seconds * 1000;
  let rounds = 0;
  while (performance.now() < end) rounds += 1;
  return rounds;
}

export function echo<T>(value: T): T {
  return value;
}

export function fail(message: string): never {
  throw new Error(message);
}
