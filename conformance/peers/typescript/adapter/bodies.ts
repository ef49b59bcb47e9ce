/** What the suite's tasks do (ADAPTER.md, "A worker's commands"). Runs in the worker's processes. */
import { spawn as spawnProcess } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { valuePayload } from "../src/payloads.js";
import type { TaskContext } from "../src/task_process.js";
import { descriptor, look } from "./connections.js";

/** Tells the adapter that the body has begun. Whatever the body does then comes after the adapter's `started`. */
async function begin(task: string, address: string, note = ""): Promise<Socket> {
  const socket = connect(address);
  await once(socket, "connect");
  socket.write(`${task} ${note}\n`);
  await byte(socket);
  return socket;
}

/** Waits for exactly one byte: the one that releases may come together with the one before it. */
async function byte(socket: Socket): Promise<void> {
  while (socket.read(1) === null) await once(socket, "readable");
}

async function return_(task: string, address: string): Promise<string> {
  await begin(task, address);
  return `returned by ${task}`;
}

async function raise(task: string, address: string): Promise<never> {
  await begin(task, address);
  throw new Error("raised on purpose");
}

async function unstorable(task: string, address: string): Promise<unknown> {
  await begin(task, address);
  return () => {};
}

async function hold(task: string, address: string): Promise<string> {
  await byte(await begin(task, address));
  return `released ${task}`;
}

async function spin(task: string, address: string): Promise<string> {
  const socket = await begin(task, address);
  while (socket.readableLength === 0 && look(socket) === "nothing");
  return `released ${task}`;
}

async function die(task: string, address: string): Promise<void> {
  await begin(task, address);
  process.kill(process.pid, "SIGKILL");
}

async function spawn(task: string, address: string): Promise<string> {
  const socket = await begin(task, address);
  spawnProcess("sleep", ["1000"], { detached: true, stdio: ["ignore", "ignore", "ignore", descriptor(socket)] });
  await byte(socket);
  return `released ${task}`;
}

async function half(this: TaskContext, task: string, address: string): Promise<string> {
  this.store.put(this.resultId, valuePayload("half of it"));
  await byte(await begin(task, address, Buffer.from(this.resultId).toString("hex")));
  return `released ${task}`;
}

export { die, half, hold, raise, return_ as return, spawn, spin, unstorable };
