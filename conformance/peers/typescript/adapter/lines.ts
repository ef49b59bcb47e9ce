/** What adapters of both roles share: lines of JSON, as conformance/ADAPTER.md says. */
import { createInterface } from "node:readline";
import type { StorageAddress } from "../src/layout.js";

export type Fields = Record<string, unknown>;

export interface Command extends Fields {
  readonly id: number;
  readonly command: string;
}

export type Commands = Readonly<Record<string, (command: Command) => Fields | Promise<Fields>>>;

/** The implementation has no such function: the case ends with the verdict "unsupported". */
export class Unsupported extends Error {}

/** Writes one event. */
export function say(event: Fields): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** Says hello and does commands until standard input ends; then calls `end` and exits. */
export async function serve(
  role: "client" | "worker",
  features: readonly string[],
  storage: StorageAddress,
  commands: Commands,
  end: () => void,
): Promise<never> {
  say({ event: "hello", protocol: 1, role, name: "rescind-typescript", version: "0.1.0", features, storage });
  // Commands that wait do not stop the others: each is a promise of its own.
  for await (const line of createInterface({ input: process.stdin })) void obey(JSON.parse(line) as Command, commands);
  end();
  process.exit(0);
}

async function obey(command: Command, commands: Commands): Promise<void> {
  const { id } = command;
  try {
    const run = commands[command.command];
    if (run === undefined) throw new Unsupported();
    say({ event: "done", id, ...(await run(command)) });
  } catch (error) {
    if (error instanceof Unsupported) say({ event: "unsupported", id });
    else say({ event: "raised", id, error: String(error) });
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A field of a command that must be a text. */
export function text(command: Command, field: string): string {
  const value = command[field];
  if (typeof value !== "string") throw new Unsupported();
  return value;
}

/** A field that must be a number; undefined if it is not there, or null. */
export function number(command: Command, field: string): number | undefined {
  const value = command[field];
  return typeof value === "number" ? value : undefined;
}

/** The options that the feature "timeouts" adds, in seconds. */
export function timing(command: Command): { heartbeatInterval?: number; schedulerTimeout?: number } {
  const heartbeatInterval = number(command, "heartbeat_interval");
  const schedulerTimeout = number(command, "scheduler_timeout");
  return {
    ...(heartbeatInterval === undefined ? {} : { heartbeatInterval }),
    ...(schedulerTimeout === undefined ? {} : { schedulerTimeout }),
  };
}
