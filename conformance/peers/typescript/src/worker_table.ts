/** SPEC.md, section 5, "The worker's table": one assignment. */
import { Table } from "./table.js";

export type State = "queued" | "running" | "ending" | "leaving" | "ended";
export type Event = "start" | "cancel" | "cancel, force" | "finished" | "process ended" | "leave";
export type Action =
  | "nothing"
  | "start it"
  | "end its process"
  | "TaskResult"
  | "TaskResult, failedWorkerDied"
  | "TaskCancelConfirm, canceled"
  | "TaskCancelConfirm, cancelFailed";

export const WORKER_TABLE = new Table<State, Event, Action>([
  ["queued", "start", "running", "start it"],
  ["queued", "cancel", "ended", "TaskCancelConfirm, canceled"],
  ["queued", "cancel, force", "ended", "TaskCancelConfirm, canceled"],
  ["queued", "leave", "ended", "nothing"],
  ["running", "cancel", "running", "TaskCancelConfirm, cancelFailed"],
  ["running", "cancel, force", "ending", "end its process"],
  ["running", "finished", "ended", "TaskResult"],
  ["running", "process ended", "ended", "TaskResult, failedWorkerDied"],
  ["running", "leave", "leaving", "end its process"],
  ["ending", "cancel", "ending", "nothing"],
  ["ending", "cancel, force", "ending", "nothing"],
  ["ending", "finished", "ending", "nothing"],
  ["ending", "process ended", "ended", "TaskCancelConfirm, canceled"],
  ["ending", "leave", "leaving", "nothing"],
  ["leaving", "cancel", "leaving", "nothing"],
  ["leaving", "cancel, force", "leaving", "nothing"],
  ["leaving", "finished", "leaving", "nothing"],
  ["leaving", "process ended", "ended", "nothing"],
]);
