/**
 * Where payloads are kept: files in a folder that client and workers share. Payloads are outside of the protocol, which
 * only carries their ids and the address of the store (scheme "file").
 *
 * All is synchronous. Files are small and local, and so nothing comes between a message and what it means for payloads.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { StorageAddress } from "./layout.js";

/** An id for an object. Ids are opaque, but OpenGRIS Scaler's scheduler takes only those of 32 bytes. */
export function newObjectId(): Uint8Array {
  return randomBytes(32);
}

/** The address of a store in a folder. */
export function folderAddress(folder: string): StorageAddress {
  return { scheme: "file", host: folder, port: 0 };
}

/** The address of a store of another kind, from "tcp://127.0.0.1:8517". */
export function addressOf(url: string): StorageAddress {
  const [, scheme, host, port] = /^(\w+):\/\/(.+):(\d+)$/.exec(url) ?? [];
  if (scheme === undefined || host === undefined) throw new Error(`not an address, as tcp://127.0.0.1:8517: ${url}`);
  return { scheme, host, port: Number(port) };
}

export class FileStore {
  private readonly folder: string;

  constructor(address: StorageAddress) {
    if (address.scheme !== "file") {
      throw new Error(`payloads are in a store of scheme "${address.scheme}"; this peer reads only "file"`);
    }
    this.folder = address.host;
    mkdirSync(this.folder, { recursive: true });
  }

  put(id: Uint8Array, content: string): void {
    // Whole or not at all: a writer may be ended at any moment.
    writeFileSync(this.part(id), content);
    renameSync(this.part(id), this.file(id));
  }

  /** Throws if there is no such object. */
  get(id: Uint8Array): string {
    return readFileSync(this.file(id), "utf-8");
  }

  has(id: Uint8Array): boolean {
    return existsSync(this.file(id));
  }

  /** Deletes what is there of these objects, half-written ones included. */
  delete(ids: Iterable<Uint8Array>): void {
    for (const id of ids) {
      rmSync(this.part(id), { force: true });
      rmSync(this.file(id), { force: true });
    }
  }

  private file(id: Uint8Array): string {
    return path.join(this.folder, `object-${Buffer.from(id).toString("hex")}`);
  }

  private part(id: Uint8Array): string {
    return `${this.file(id)}.part`;
  }
}
