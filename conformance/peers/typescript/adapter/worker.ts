/** The adapter of the worker for the conformance suite. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { functionPayload, valuePayload } from "../src/payloads.js";
import { FileStore, folderAddress } from "../src/store.js";
import { Worker } from "../src/worker.js";
import * as bodies from "./bodies.js";
import { look } from "./connections.js";
import { type Command, type Commands, hex, number, say, serve, text, timing, Unsupported } from "./lines.js";

const folder = mkdtempSync(path.join(tmpdir(), "rescind-"));
const storage = folderAddress(path.join(folder, "objects"));
const store = new FileStore(storage);
const socketPath = path.join(folder, "bodies");
const begun: { readonly task: string; readonly socket: Socket }[] = [];
let worker: Worker | undefined;
let exited = false;
let stored = 0;

const listener = createServer((socket) => {
  socket.on("error", () => {}); // A body that is ended by force may leave its connection so.
  socket.once("data", (line) => {
    const [task = "", note = ""] = line.toString().trim().split(" ");
    begun.push({ task, socket });
    say({ event: "started", task, ...(note === "" ? {} : { object_id: note }) });
    socket.write("!");
  });
}).listen(socketPath);

function put(content: string): string {
  const id = Buffer.from(`payload ${++stored}`);
  store.put(id, content);
  return hex(id);
}

function connectionsOf(command: Command): Socket[] {
  return begun.filter(({ task }) => task === text(command, "task")).map(({ socket }) => socket);
}

const commands: Commands = {
  start: (command) => {
    worker = new Worker({
      endpoint: text(command, "endpoint"),
      functions: fileURLToPath(new URL("bodies.js", import.meta.url)),
      processes: number(command, "processes") ?? 1,
      queueSize: number(command, "queue_size") ?? 1000,
      ...timing(command),
    });
    void worker.gone.then(() => {
      exited = true;
    });
    return {};
  },
  task: (command) => {
    const body = text(command, "body");
    if (!Object.hasOwn(bodies, body)) throw new Unsupported();
    const function_id = put(functionPayload(body));
    return { function_id, arguments: [text(command, "task"), socketPath].map((value) => put(valuePayload(value))) };
  },
  release: (command) => {
    for (const socket of connectionsOf(command)) if (socket.writable) socket.write("!");
    return {};
  },
  running: (command) => ({ returned: connectionsOf(command).some((socket) => look(socket) !== "end") }),
  stored: (command) => ({ returned: store.has(Buffer.from(text(command, "object_id"), "hex")) }),
  leave: async () => {
    await worker?.leave();
    return {};
  },
  exited: () => ({ returned: exited }),
};

await serve("worker", ["processes", "leave", "timeouts", "release"], storage, commands, () => {
  worker?.kill();
  listener.close();
  rmSync(folder, { recursive: true, force: true });
});
