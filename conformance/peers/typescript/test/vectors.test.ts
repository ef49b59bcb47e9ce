/** Every test vector of the protocol: what is valid is read and written, what is malformed is refused. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { type Field, type Kind, type Layout, MEMBERS, type Message } from "../src/layout.js";
import { Dropped, read } from "../src/reader.js";
import { write } from "../src/writer.js";
import { inRepository } from "./repository.js";

interface Vector {
  readonly name: string;
  readonly expect: "message" | "accept" | "drop" | "either";
  readonly description: string;
}

const folder = inRepository("protocol/vectors");
const { vectors } = JSON.parse(readFileSync(path.join(folder, "index.json"), "utf-8")) as { vectors: Vector[] };
assert.ok(vectors.length > 100);

for (const kindOfVector of ["message", "accept", "drop", "either"] as const) {
  describe(`vectors to ${kindOfVector}`, () => {
    for (const { name, expect, description } of vectors) {
      if (expect !== kindOfVector) continue;
      test(`${name}: ${description}`, () => check(name, expect));
    }
  });
}

function check(name: string, expect: Vector["expect"]): void {
  const frame = readFileSync(path.join(folder, `${name}.bin`));
  if (expect === "drop") {
    assert.throws(() => read(frame), Dropped);
    return;
  }
  if (expect === "either") {
    try {
      read(frame);
    } catch (error) {
      assert.ok(error instanceof Dropped);
    }
    return;
  }
  const untouched = Buffer.from(frame);
  const said = expected(readFileSync(path.join(folder, `${name}.json`), "utf-8"));
  assert.deepEqual(read(frame), said);
  assert.deepEqual(frame, untouched, "reading changes nothing");
  const written = write(said);
  assert.deepEqual(read(written), said);
  // An empty struct is written as a null pointer, which reads the same (M4).
  const empty = Object.keys(MEMBERS[said.kind].layout).length === 0;
  if (expect === "message" && !empty) assert.deepEqual(Buffer.from(written).toString("hex"), frame.toString("hex"));
}

test("what a frame says survives the frame", () => {
  const frame = readFileSync(path.join(folder, "messages/task-cancel.bin"));
  const message = read(frame);
  frame.fill(0);
  assert.deepEqual(message, expected(readFileSync(path.join(folder, "messages/task-cancel.json"), "utf-8")));
});

test("a byte order mark is part of its text", () => {
  const said: Message = { kind: "taskLog", taskId: new Uint8Array([1]), logType: "stdout", content: "\ufeffx" };
  assert.deepEqual(read(write(said)), said);
});

/** The message of a vector's JSON, as `read` returns it. */
function expected(json: string): Message {
  // Integers beyond 2^53 are kept whole as texts.
  const whole = json.replace(/: (-?\d{16,})/g, ': "$1"');
  const [entry] = Object.entries((JSON.parse(whole) as { message: Record<string, Fields> }).message);
  assert.ok(entry);
  const [kind, fields] = entry as [Kind, Fields];
  return { kind, ...struct(fields, MEMBERS[kind].layout) } as Message;
}

type Fields = Record<string, unknown>;

function struct(fields: Fields, layout: Layout): Fields {
  assert.deepEqual(Object.keys(fields).sort(), Object.keys(layout).sort());
  return Object.fromEntries(Object.entries(layout).map(([name, field]) => [name, value(fields[name], field)]));
}

function value(said: unknown, field: Field): unknown {
  switch (field.type) {
    case "data":
    case "task id":
      return bytes(said);
    case "list of data":
      return (said as unknown[]).map(bytes);
    case "struct":
      return struct(said as Fields, field.layout);
    case "list":
      return (said as Fields[]).map((element) => struct(element, field.layout));
    case "uint64":
    case "int64":
      return BigInt(said as number | string);
    default:
      return said;
  }
}

function bytes(hex: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(hex as string, "hex"));
}
