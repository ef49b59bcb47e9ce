/** A task id in hexadecimal: bytes compare by identity in JavaScript, texts by content. */
export type TaskKey = string;

export const keyOf = (taskId: Uint8Array): TaskKey => Buffer.from(taskId).toString("hex");
