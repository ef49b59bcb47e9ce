/**
 * Reads frames that strangers have sent: M1 to M4, and M6's part in reading.
 *
 * The reader of `capnp-es` is not used. It takes what M1 calls malformed, refuses valid frames of many segments, and
 * enlarges short structs within the message that it reads, which spoils what two pointers share.
 */
import { type Field, type Kind, type Layout, MEMBERS, type Message } from "./layout.js";

/** The frame is to be dropped as a whole (M1, M3). Its message is the reason, by which it is counted. */
export class Dropped extends Error {
  override readonly name = "Dropped";
}

const SEGMENTS_LIMIT = 512;
/** Words that pointers may lead to beyond the frame's own (SPEC.md, section 10): elements that take no room are few. */
const WORDS_BEYOND_FRAME = 64;
const NO_TASK_ID = "bad task id";
const MALFORMED = "malformed pointer";
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const KIND_OF_NUMBER = new Map<number, Kind>(
  (Object.keys(MEMBERS) as Kind[]).map((kind) => [MEMBERS[kind].number, kind]),
);

/** Reads one frame. Throws `Dropped` if it is malformed, or of a member that the protocol does not use. */
export function read(frame: Uint8Array): Message {
  const reader = new FrameReader(frame);
  const root = reader.root();
  const number = root.uint(0, 2);
  const kind = KIND_OF_NUMBER.get(number);
  if (kind === undefined) throw new Dropped(`unknown member ${number}`);
  const body = reader.structAt(root.pointerAt(0));
  return { kind, ...reader.fields(body, MEMBERS[kind].layout) } as Message;
}

/** The sizes of a list's elements in bits, by their code; 7, of structs, has a tag with the size. */
const ELEMENT_BITS = [0, 1, 8, 16, 32, 64, 64];
const OF_BYTES = 2;
const OF_POINTERS = 6;
const OF_STRUCTS = 7;

/** A place in the message: a word of a segment. */
interface Place {
  readonly segment: DataView;
  readonly word: number;
}

/** A struct of whatever size its sender knew: what is beyond its end reads as zero (M4). */
class Struct {
  constructor(
    private readonly at: Place,
    private readonly dataWords: number,
    private readonly pointers: number,
  ) {}

  /** An unsigned integer of 1, 2 or 4 bytes. */
  uint(offset: number, bytes: 1 | 2 | 4): number {
    if (offset + bytes > this.dataWords * 8) return 0;
    const { segment, word } = this.at;
    const position = word * 8 + offset;
    if (bytes === 1) return segment.getUint8(position);
    return bytes === 2 ? segment.getUint16(position, true) : segment.getUint32(position, true);
  }

  uint64(offset: number): bigint {
    return offset + 8 > this.dataWords * 8 ? 0n : this.at.segment.getBigUint64(this.at.word * 8 + offset, true);
  }

  /** Where a pointer stands; undefined if the struct does not have it. */
  pointerAt(index: number): Place | undefined {
    if (index >= this.pointers) return undefined;
    return { segment: this.at.segment, word: this.at.word + this.dataWords + index };
  }
}

const NO_STRUCT = new Struct({ segment: new DataView(new ArrayBuffer(0)), word: 0 }, 0, 0);

/** What a pointer leads to: its two halves, and where its content begins. */
interface Target {
  readonly low: number;
  readonly high: number;
  readonly at: Place;
}

class FrameReader {
  private readonly segments: DataView[] = [];
  /** How many words pointers may still lead to. A message that repeats itself would otherwise grow as it is read. */
  private wordsLeft: number;

  constructor(frame: Uint8Array) {
    if (frame.byteLength === 0) throw new Dropped("empty frame");
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    if (view.byteLength < 4) throw new Dropped("truncated");
    const count = view.getUint32(0, true) + 1;
    if (count > SEGMENTS_LIMIT) throw new Dropped("too many segments");
    // The table is filled up to a whole word.
    let end = Math.ceil((4 + 4 * count) / 8) * 8;
    if (view.byteLength < end) throw new Dropped("truncated");
    for (let index = 0; index < count; index++) {
      const length = view.getUint32(4 + 4 * index, true) * 8;
      if (view.byteLength < end + length) throw new Dropped("truncated");
      this.segments.push(new DataView(frame.buffer, frame.byteOffset + end, length));
      end += length;
    }
    if (view.byteLength > end) throw new Dropped("trailing bytes");
    this.wordsLeft = view.byteLength / 8 + WORDS_BEYOND_FRAME;
  }

  root(): Struct {
    const segment = this.segments[0];
    if (segment === undefined || segment.byteLength === 0) throw new Dropped(MALFORMED);
    return this.structAt({ segment, word: 0 });
  }

  /** All fields of a struct, those that are not there with their defaults. */
  fields(struct: Struct, layout: Layout): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const [name, field] of Object.entries(layout)) values[name] = this.field(struct, field);
    return values;
  }

  private field(struct: Struct, field: Field): unknown {
    switch (field.type) {
      case "bit":
        return ((struct.uint(field.offset >> 3, 1) >> (field.offset & 7)) & 1) === 1;
      case "uint16":
        return struct.uint(field.offset, 2);
      case "uint32":
        return struct.uint(field.offset, 4);
      case "uint64":
        return struct.uint64(field.offset);
      case "int64":
        return BigInt.asIntN(64, struct.uint64(field.offset));
      case "enum": {
        const number = struct.uint(field.offset, 2);
        return field.names[number] ?? number;
      }
      case "data":
        return this.bytesAt(struct.pointerAt(field.pointer)) ?? new Uint8Array();
      case "task id": {
        const id = this.bytesAt(struct.pointerAt(field.pointer));
        if (id === undefined || id.length < 1 || id.length > 255) throw new Dropped(NO_TASK_ID);
        return id;
      }
      case "text":
        return this.textAt(struct.pointerAt(field.pointer));
      case "list of data":
        return this.pointersAt(struct.pointerAt(field.pointer)).map((place) => this.bytesAt(place) ?? new Uint8Array());
      case "struct":
        return this.fields(this.structAt(struct.pointerAt(field.pointer)), field.layout);
      case "list":
        return this.structsAt(struct.pointerAt(field.pointer)).map((element) => this.fields(element, field.layout));
    }
  }

  /** The struct that the pointer at this place leads to; a null pointer is one of defaults (M4). */
  structAt(place: Place | undefined): Struct {
    const target = this.follow(place);
    if (target === undefined) return NO_STRUCT;
    if ((target.low & 3) !== 0) throw new Dropped(MALFORMED);
    const [dataWords, pointers] = sizes(target.high);
    this.take(target.at, dataWords + pointers);
    return new Struct(target.at, dataWords, pointers);
  }

  private bytesAt(place: Place | undefined): Uint8Array | undefined {
    const list = this.listAt(place, OF_BYTES);
    if (list === undefined) return undefined;
    const { segment, word } = list.at;
    // A copy: the frame's memory belongs to ZeroMQ.
    return new Uint8Array(segment.buffer, segment.byteOffset + word * 8, list.count).slice();
  }

  private textAt(place: Place | undefined): string {
    const bytes = this.bytesAt(place);
    if (bytes === undefined) return "";
    if (bytes.at(-1) !== 0) throw new Dropped(MALFORMED);
    try {
      return utf8.decode(bytes.subarray(0, -1));
    } catch {
      throw new Dropped("text is not UTF-8");
    }
  }

  private pointersAt(place: Place | undefined): Place[] {
    const list = this.listAt(place, OF_POINTERS);
    if (list === undefined) return [];
    const { segment, word } = list.at;
    return Array.from({ length: list.count }, (_, index) => ({ segment, word: word + index }));
  }

  private structsAt(place: Place | undefined): Struct[] {
    const list = this.listAt(place, OF_STRUCTS);
    if (list === undefined) return [];
    const { segment, word } = list.at;
    // The list's count is that of its words; before them stands a tag: like a pointer, with the count of elements.
    const tag = { low: segment.getUint32(word * 8, true), high: segment.getUint32(word * 8 + 4, true) };
    if ((tag.low & 3) !== 0) throw new Dropped(MALFORMED);
    const count = tag.low >>> 2;
    const [dataWords, pointers] = sizes(tag.high);
    const size = dataWords + pointers;
    if (count * size > list.count) throw new Dropped(MALFORMED);
    if (size === 0) this.spend(count);
    return Array.from(
      { length: count },
      (_, index) => new Struct({ segment, word: word + 1 + index * size }, dataWords, pointers),
    );
  }

  private listAt(place: Place | undefined, elementSize: number): { at: Place; count: number } | undefined {
    const target = this.follow(place);
    if (target === undefined) return undefined;
    if ((target.low & 3) !== 1 || (target.high & 7) !== elementSize) throw new Dropped(MALFORMED);
    const count = target.high >>> 3;
    this.take(
      target.at,
      elementSize === OF_STRUCTS ? 1 + count : Math.ceil((count * (ELEMENT_BITS[elementSize] ?? 0)) / 64),
    );
    return { at: target.at, count };
  }

  /** Follows far pointers to what the pointer at this place is about; undefined: it is null. */
  private follow(place: Place | undefined): Target | undefined {
    if (place === undefined) return undefined;
    const { low, high } = this.word(place);
    if (low === 0 && high === 0) return undefined;
    if ((low & 3) !== 2) return { low, high, at: behind(place, low) };
    const pad = this.place(high, low >>> 3);
    const landing = this.word(pad);
    if ((low & 4) === 0) {
      if ((landing.low & 3) >= 2) throw new Dropped(MALFORMED);
      return { ...landing, at: behind(pad, landing.low) };
    }
    // Two words: a far pointer to the content, then what it is.
    if ((landing.low & 7) !== 2) throw new Dropped(MALFORMED);
    const tag = this.word({ segment: pad.segment, word: pad.word + 1 });
    if ((tag.low & 3) >= 2) throw new Dropped(MALFORMED);
    return { ...tag, at: this.place(landing.high, landing.low >>> 3) };
  }

  private place(segment: number, word: number): Place {
    const found = this.segments[segment];
    if (found === undefined) throw new Dropped(MALFORMED);
    return { segment: found, word };
  }

  private word({ segment, word }: Place): { low: number; high: number } {
    if (word < 0 || (word + 1) * 8 > segment.byteLength) throw new Dropped(MALFORMED);
    return { low: segment.getUint32(word * 8, true), high: segment.getUint32(word * 8 + 4, true) };
  }

  /** Content lies within its segment, and within what the frame may lead to. */
  private take({ segment, word }: Place, words: number): void {
    if (word < 0 || (word + words) * 8 > segment.byteLength) throw new Dropped(MALFORMED);
    this.spend(words);
  }

  private spend(words: number): void {
    this.wordsLeft -= words;
    if (this.wordsLeft < 0) throw new Dropped(MALFORMED);
  }
}

/** Where a pointer that stands here leads: the offset, in words from its end, is the upper 30 bits, signed. */
function behind({ segment, word }: Place, low: number): Place {
  return { segment, word: word + 1 + (low >> 2) };
}

/** Words of data, and pointers. */
function sizes(high: number): [number, number] {
  return [high & 0xffff, high >>> 16];
}
