/**
 * The layout of every message, as tables: `protocol/message.capnp` with the places that Cap'n Proto gave its fields.
 *
 * The reader reads by them and the writer writes by them, and the types of TypeScript are inferred from them.
 * A field of the data section has an offset (in bytes, a bit's in bits), one of the pointer section an index.
 * `test/vectors.test.ts` would notice a wrong one.
 */

const data = (pointer: number) => ({ type: "data", pointer }) as const;
const text = (pointer: number) => ({ type: "text", pointer }) as const;
const listOfData = (pointer: number) => ({ type: "list of data", pointer }) as const;
const struct = <L extends Layout>(pointer: number, layout: L) => ({ type: "struct", pointer, layout }) as const;
const listOf = <L extends Layout>(pointer: number, layout: L) => ({ type: "list", pointer, layout }) as const;
const uint16 = (offset: number) => ({ type: "uint16", offset }) as const;
const uint32 = (offset: number) => ({ type: "uint32", offset }) as const;
const uint64 = (offset: number) => ({ type: "uint64", offset }) as const;
const int64 = (offset: number) => ({ type: "int64", offset }) as const;
const bit = (offset: number) => ({ type: "bit", offset }) as const;
const taskId = (pointer: number) => ({ type: "task id", pointer }) as const;
/** A value without a name comes from a later version, and is read as its number (M6). */
const enumeration = <const N extends readonly string[]>(offset: number, names: N) =>
  ({ type: "enum", offset, names }) as const;

export type Field =
  | { readonly type: "data" | "text" | "list of data" | "task id"; readonly pointer: number }
  | { readonly type: "struct" | "list"; readonly pointer: number; readonly layout: Layout }
  | { readonly type: "uint16" | "uint32" | "uint64" | "int64" | "bit"; readonly offset: number }
  | { readonly type: "enum"; readonly offset: number; readonly names: readonly string[] };

export interface Layout {
  readonly [field: string]: Field;
}

type ValueOf<F> = F extends { type: "data" | "task id" }
  ? Uint8Array
  : F extends { type: "text" }
    ? string
    : F extends { type: "list of data" }
      ? readonly Uint8Array[]
      : F extends { type: "struct"; layout: infer L }
        ? StructOf<L>
        : F extends { type: "list"; layout: infer L }
          ? readonly StructOf<L>[]
          : F extends { type: "uint16" | "uint32" }
            ? number
            : F extends { type: "uint64" | "int64" }
              ? bigint
              : F extends { type: "bit" }
                ? boolean
                : F extends { type: "enum"; names: readonly (infer N)[] }
                  ? N | number
                  : never;

/** What a struct with this layout reads as. */
export type StructOf<L> = { readonly [K in keyof L]: ValueOf<L[K]> };

const Argument = { type: enumeration(0, ["task", "objectID"]), data: data(0) };
const Capability = { name: text(0), value: int64(0) };
const Task = {
  taskId: taskId(0),
  source: data(1),
  metadata: data(2),
  funcObjectId: data(3),
  functionArgs: listOf(4, Argument),
  capabilities: listOf(5, Capability),
};
const TaskCancel = { taskId: taskId(0), flags: struct(1, { force: bit(0) }) };
const TaskCancelConfirm = {
  taskId: taskId(0),
  cancelConfirmType: enumeration(0, ["canceled", "cancelFailed", "cancelNotFound"]),
};
const TaskResult = {
  taskId: taskId(0),
  resultType: enumeration(0, ["success", "failed", "failedWorkerDied"]),
  metadata: data(1),
  results: listOfData(2),
};
const TaskLog = { taskId: taskId(0), logType: enumeration(0, ["stdout", "stderr"]), content: text(1) };
const GraphTask = { taskId: taskId(0), source: data(1), targets: listOfData(2), graph: listOf(3, Task) };
const Resource = { cpu: uint16(0), rss: uint64(8) };
const ObjectStorageAddress = { host: text(0), port: uint16(0), scheme: text(1) };
const ClientHeartbeat = { resource: struct(0, Resource), latencyMicroseconds: uint32(0), hostname: text(1) };
const Echo = { objectStorageAddress: struct(0, ObjectStorageAddress) };
const ProcessorStatus = {
  pid: uint32(0),
  initialized: bit(32),
  hasTask: bit(33),
  suspended: bit(34),
  resource: struct(0, Resource),
  currentTaskId: data(1),
  taskAgeSeconds: uint32(8),
};
const WorkerHeartbeat = {
  agent: struct(0, Resource),
  rssFree: uint64(0),
  queueSize: uint32(8),
  queuedTasks: uint32(12),
  latencyMicroseconds: uint32(16),
  taskLock: bit(160),
  processors: listOf(1, ProcessorStatus),
  capabilities: listOf(2, Capability),
  workerManagerID: data(3),
  memLimit: uint64(24),
  hostname: text(4),
  netSentBytes: uint64(32),
  netRecvBytes: uint64(40),
};

/** The members of the envelope's union that the protocol uses, and their numbers. */
export const MEMBERS = {
  task: { number: 0, layout: Task },
  taskCancel: { number: 1, layout: TaskCancel },
  taskCancelConfirm: { number: 2, layout: TaskCancelConfirm },
  taskResult: { number: 3, layout: TaskResult },
  taskLog: { number: 4, layout: TaskLog },
  graphTask: { number: 5, layout: GraphTask },
  objectInstruction: { number: 6, layout: {} },
  clientHeartbeat: { number: 7, layout: ClientHeartbeat },
  clientHeartbeatEcho: { number: 8, layout: Echo },
  workerHeartbeat: { number: 9, layout: WorkerHeartbeat },
  workerHeartbeatEcho: { number: 10, layout: Echo },
  clientDisconnect: { number: 18, layout: { disconnectType: enumeration(0, ["disconnect", "shutdown"]) } },
  clientShutdownResponse: { number: 19, layout: { accepted: bit(0) } },
  workerDisconnectNotification: { number: 26, layout: {} },
} as const;

export type Kind = keyof typeof MEMBERS;
type MessageOf<K extends Kind> = { readonly kind: K } & StructOf<(typeof MEMBERS)[K]["layout"]>;

/** A message of the protocol: `kind` is the member of the union, beside it stand the fields of its struct. */
export type Message = { [K in Kind]: MessageOf<K> }[Kind];
export type GraphTaskMessage = MessageOf<"graphTask">;
export type TaskMessage = MessageOf<"task">;
export type TaskResultMessage = MessageOf<"taskResult">;
export type StorageAddress = StructOf<typeof ObjectStorageAddress>;

/** What two heartbeats have in common with "not measured". */
export const NO_RESOURCE: StructOf<typeof Resource> = { cpu: 0, rss: 0n };
