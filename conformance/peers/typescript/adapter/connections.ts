/** Sockets that are looked at without waiting, on which the libraries of Node.js have no function. */
import { readSync } from "node:fs";
import type { Socket } from "node:net";

/** The descriptor of a socket; undefined if it is closed. */
export function descriptor(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle: { fd: number } | null };
  return handle === null || handle.fd < 0 ? undefined : handle.fd;
}

/** Reads one byte at this moment. */
export function look(socket: Socket): "nothing" | "byte" | "end" {
  const fd = descriptor(socket);
  if (fd === undefined) return "end";
  try {
    return readSync(fd, Buffer.alloc(1)) === 0 ? "end" : "byte";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EAGAIN" ? "nothing" : "end";
  }
}
