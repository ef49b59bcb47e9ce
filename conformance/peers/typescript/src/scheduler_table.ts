/** SPEC.md, section 4, "The scheduler's table": one task. */
import { Table } from "./table.js";

export type State =
  "waiting" | "queued" | "dispatched" | "canceling" | "escalated" | "forcing" | "rebalancing" | "abandoned" | "ended";
export type Event =
  | "ready"
  | "skip"
  | "cancel"
  | "cancel, force"
  | "owner lost"
  | "close"
  | "dispatch"
  | "rebalance"
  | "result"
  | "worker lost"
  | "worker lost again"
  | "canceled"
  | "cancelFailed"
  | "cancelNotFound";
export type Action =
  | "nothing"
  | "the failure to owner"
  | "canceled to owner"
  | "Task to worker"
  | "TaskCancel to worker"
  | "TaskCancel, force, to worker"
  | "the answer to owner"
  | "failedWorkerDied to owner";

export const SCHEDULER_TABLE = new Table<State, Event, Action>([
  ["waiting", "ready", "queued", "nothing"],
  ["waiting", "skip", "ended", "the failure to owner"],
  ["waiting", "cancel", "ended", "canceled to owner"],
  ["waiting", "cancel, force", "ended", "canceled to owner"],
  ["waiting", "owner lost", "ended", "nothing"],
  ["waiting", "close", "ended", "canceled to owner"],
  ["queued", "skip", "ended", "the failure to owner"],
  ["queued", "dispatch", "dispatched", "Task to worker"],
  ["queued", "cancel", "ended", "canceled to owner"],
  ["queued", "cancel, force", "ended", "canceled to owner"],
  ["queued", "owner lost", "ended", "nothing"],
  ["queued", "close", "ended", "canceled to owner"],
  ["dispatched", "cancel", "canceling", "TaskCancel to worker"],
  ["dispatched", "cancel, force", "forcing", "TaskCancel, force, to worker"],
  ["dispatched", "rebalance", "rebalancing", "TaskCancel to worker"],
  ["dispatched", "result", "ended", "the answer to owner"],
  ["dispatched", "worker lost", "queued", "nothing"],
  ["dispatched", "worker lost again", "ended", "failedWorkerDied to owner"],
  ["dispatched", "owner lost", "abandoned", "TaskCancel, force, to worker"],
  ["dispatched", "close", "ended", "canceled to owner"],
  ["canceling", "cancel", "canceling", "nothing"],
  ["canceling", "cancel, force", "escalated", "TaskCancel, force, to worker"],
  ["canceling", "result", "ended", "the answer to owner"],
  ["canceling", "canceled", "ended", "the answer to owner"],
  ["canceling", "cancelFailed", "dispatched", "the answer to owner"],
  ["canceling", "cancelNotFound", "ended", "the answer to owner"],
  ["canceling", "worker lost", "ended", "canceled to owner"],
  ["canceling", "worker lost again", "ended", "canceled to owner"],
  ["canceling", "owner lost", "abandoned", "TaskCancel, force, to worker"],
  ["canceling", "close", "ended", "canceled to owner"],
  ["escalated", "cancel", "escalated", "nothing"],
  ["escalated", "cancel, force", "escalated", "nothing"],
  ["escalated", "result", "ended", "the answer to owner"],
  ["escalated", "canceled", "ended", "the answer to owner"],
  ["escalated", "cancelFailed", "forcing", "nothing"],
  ["escalated", "cancelNotFound", "ended", "the answer to owner"],
  ["escalated", "worker lost", "ended", "canceled to owner"],
  ["escalated", "worker lost again", "ended", "canceled to owner"],
  ["escalated", "owner lost", "abandoned", "nothing"],
  ["escalated", "close", "ended", "canceled to owner"],
  ["forcing", "cancel", "forcing", "nothing"],
  ["forcing", "cancel, force", "forcing", "nothing"],
  ["forcing", "result", "ended", "the answer to owner"],
  ["forcing", "canceled", "ended", "the answer to owner"],
  ["forcing", "cancelFailed", "dispatched", "the answer to owner"],
  ["forcing", "cancelNotFound", "ended", "the answer to owner"],
  ["forcing", "worker lost", "ended", "canceled to owner"],
  ["forcing", "worker lost again", "ended", "canceled to owner"],
  ["forcing", "owner lost", "abandoned", "nothing"],
  ["forcing", "close", "ended", "canceled to owner"],
  ["rebalancing", "cancel", "canceling", "nothing"],
  ["rebalancing", "cancel, force", "escalated", "TaskCancel, force, to worker"],
  ["rebalancing", "result", "ended", "the answer to owner"],
  ["rebalancing", "canceled", "queued", "nothing"],
  ["rebalancing", "cancelFailed", "dispatched", "nothing"],
  ["rebalancing", "cancelNotFound", "queued", "nothing"],
  ["rebalancing", "worker lost", "queued", "nothing"],
  ["rebalancing", "worker lost again", "ended", "failedWorkerDied to owner"],
  ["rebalancing", "owner lost", "abandoned", "TaskCancel, force, to worker"],
  ["rebalancing", "close", "ended", "canceled to owner"],
  ["abandoned", "result", "ended", "nothing"],
  ["abandoned", "canceled", "ended", "nothing"],
  ["abandoned", "cancelFailed", "abandoned", "nothing"],
  ["abandoned", "cancelNotFound", "ended", "nothing"],
  ["abandoned", "worker lost", "ended", "nothing"],
  ["abandoned", "worker lost again", "ended", "nothing"],
  ["abandoned", "close", "ended", "nothing"],
]);
