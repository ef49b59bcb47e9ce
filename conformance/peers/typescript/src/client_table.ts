/** SPEC.md, section 6, "The client's table": one future. */
import { Table } from "./table.js";

export type State = "running" | "canceling" | "finished" | "cancelled";
export type Event =
  "cancel" | "cancel, force" | "result" | "canceled" | "cancelFailed" | "cancelNotFound" | "time limit" | "disconnect";
export type Action =
  | "TaskCancel"
  | "TaskCancel, force"
  | "deliver the result"
  | "join the round"
  | "cancelled: confirmed"
  | "cancelled: not found"
  | "cancelled: result discarded"
  | "cancelled: timed out"
  | "cancelled: disconnected"
  | "round ends: refused";

export const CLIENT_TABLE = new Table<State, Event, Action>([
  ["running", "cancel", "canceling", "TaskCancel"],
  ["running", "cancel, force", "canceling", "TaskCancel, force"],
  ["running", "result", "finished", "deliver the result"],
  ["running", "canceled", "cancelled", "cancelled: confirmed"],
  ["running", "cancelNotFound", "cancelled", "cancelled: not found"],
  ["running", "disconnect", "cancelled", "cancelled: disconnected"],
  ["canceling", "cancel", "canceling", "join the round"],
  ["canceling", "cancel, force", "canceling", "join the round"],
  ["canceling", "result", "cancelled", "cancelled: result discarded"],
  ["canceling", "canceled", "cancelled", "cancelled: confirmed"],
  ["canceling", "cancelFailed", "running", "round ends: refused"],
  ["canceling", "cancelNotFound", "cancelled", "cancelled: not found"],
  ["canceling", "time limit", "cancelled", "cancelled: timed out"],
  ["canceling", "disconnect", "cancelled", "cancelled: disconnected"],
]);
