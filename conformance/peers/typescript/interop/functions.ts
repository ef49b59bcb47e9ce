/** What the scenarios of `rescind interop` have run, under the names that they have in Python. */
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

export { echo, fail } from "../src/tasks.js";

const LOOK_MS = 10;

export function add(one: number, two = 10): number {
  return one + two;
}

/** Says in the file `noted` which process runs it, and returns when there is a file `go`. */
export async function note_and_wait(noted: string, go: string, ballast = ""): Promise<number> {
  writeFileSync(`${noted}.part`, String(process.pid));
  renameSync(`${noted}.part`, noted);
  while (!existsSync(go)) await wait(LOOK_MS);
  return ballast.length;
}

/** Says that it ran. */
export function note(file: string): void {
  writeFileSync(file, "");
}

/** As `note_and_wait` the first time that it is run, and at once after that. */
export async function wait_once(noted: string, go: string): Promise<string> {
  if (existsSync(noted)) return "again";
  await note_and_wait(noted, go);
  return "first";
}

/** Ends the process that runs it, without a word. */
export function die(): void {
  process.kill(process.pid, "SIGKILL");
}
