/** What payloads say: JSON, so that reading one runs nothing (SPEC.md, section 13). A function is a name. */

/** An error that a task ended with, as its caller sees it. */
export class TaskError extends Error {
  override readonly name = "TaskError";

  constructor(
    message: string,
    /** The name of the error at the worker, as "RangeError". */
    readonly remoteName: string,
    readonly remoteStack: string | undefined,
  ) {
    super(message);
  }
}

export function functionPayload(name: string): string {
  return JSON.stringify({ function: name });
}

export function functionName(payload: string): string {
  const { function: name } = JSON.parse(payload) as { function?: unknown };
  if (typeof name !== "string") throw new TypeError("the payload that the task names as its function is none");
  return name;
}

/** Throws a TypeError if JSON has no form for the value. */
export function valuePayload(value: unknown): string {
  if (typeof value === "function" || typeof value === "symbol") {
    throw new TypeError(`a ${typeof value} cannot be stored`);
  }
  return JSON.stringify({ value });
}

export function errorPayload(error: unknown): string {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return JSON.stringify({ error: { name, message, stack } });
}

/** The value; throws the `TaskError` if the payload is an error. */
export function readValue(payload: string): unknown {
  const { value, error } = JSON.parse(payload) as {
    value?: unknown;
    error?: { name: string; message: string; stack?: string };
  };
  if (error !== undefined) throw new TaskError(error.message, error.name, error.stack);
  return value;
}
