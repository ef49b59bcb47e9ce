/** Writes messages, with the classes that `capnp-es` has made of `protocol/message.capnp`. */
import * as capnp from "capnp-es";
import * as schema from "./generated/message.js";
import { type Field, type Layout, MEMBERS, type Message } from "./layout.js";

/**
 * What a generated class has for a field: the property `name` to set it, and `_initName` to make a struct or a list
 * there. They are found by the names in the layout, so that no type can be known for them.
 */
type Generated = Record<string, unknown>;

/** The frame of a message (T2). */
export function write(message: Message): Uint8Array {
  const container = new capnp.Message();
  const envelope = container.initRoot(schema.Message) as unknown as Generated;
  const { kind, ...fields } = message;
  writeFields(init(envelope, kind) as Generated, MEMBERS[kind].layout, fields);
  return new Uint8Array(container.toArrayBuffer());
}

function writeFields(struct: Generated, layout: Layout, values: Record<string, unknown>): void {
  for (const [name, field] of Object.entries(layout)) writeField(struct, name, field, values[name]);
}

function writeField(struct: Generated, name: string, field: Field, value: unknown): void {
  switch (field.type) {
    case "data":
    case "task id":
      (init(struct, name, (value as Uint8Array).length) as capnp.Data).copyBuffer(value as Uint8Array);
      return;
    case "list of data": {
      const items = value as readonly Uint8Array[];
      const list = init(struct, name, items.length) as capnp.List<capnp.Data>;
      items.forEach((item, index) => {
        list.set(index, loose(item));
      });
      return;
    }
    case "struct":
      writeFields(init(struct, name) as Generated, field.layout, value as Record<string, unknown>);
      return;
    case "list": {
      const items = value as readonly Record<string, unknown>[];
      const list = init(struct, name, items.length) as capnp.List<capnp.Struct>;
      items.forEach((item, index) => {
        writeFields(list.at(index) as unknown as Generated, field.layout, item);
      });
      return;
    }
    case "enum":
      struct[name] = typeof value === "number" ? value : field.names.indexOf(value as string);
      return;
    default:
      struct[name] = value;
  }
}

function init(struct: Generated, name: string, length?: number): unknown {
  const method = `_init${name.charAt(0).toUpperCase()}${name.slice(1)}`;
  return (struct[method] as (length?: number) => unknown).call(struct, length);
}

/** `capnp-es` makes Data only as a field. An element of a list is copied from one of another message. */
function loose(bytes: Uint8Array): capnp.Data {
  const field = new capnp.Message().initRoot(schema.TaskCancel)._initTaskId(bytes.length);
  field.copyBuffer(bytes);
  return field;
}
