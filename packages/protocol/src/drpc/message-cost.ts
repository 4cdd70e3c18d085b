/**
 * What a message costs to decode, from its wire format (protobuf.dev/programming-guides/encoding), before anything is decoded. An
 * empty submessage has two bytes on the wire and becomes an object of many fields, so a limit on bytes alone does not bound the
 * work.
 */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

const MESSAGE_COST = 2;
/** Also of one byte of a packed list, which is why a message of at most as many bytes as the limit needs no look. */
const ELEMENT_COST = 1;
/** Decoders drop the bits beyond, and would find another field than this file. */
const MAX_TAG = 0xffff_ffff;
/** The limit of the decoder; it refuses what is deeper. */
const MAX_DEPTH = 100;

interface Field {
  readonly wireType: number;
  /** A list of numbers; either of the two encodings is accepted, as the decoder does. */
  readonly packable: boolean;
  readonly cost: number;
  readonly message: DescMessage | undefined;
  /** An entry of a map has key and value as fields 1 and 2. */
  readonly entry: ReadonlyMap<number, Field> | undefined;
}

type Fields = ReadonlyMap<number, Field>;

/** Fields of each kind of message, as far as they were needed. */
const known = new WeakMap<DescMessage, Fields>();

/**
 * Whether decoding would make more than the limit allows: a submessage counts 2, an element of a list and an entry of a map 1. Stops
 * at the limit. A message with a field of another wire type than its schema has is "malformed": where decoders disagree about that,
 * nothing could be counted.
 */
export function costOf(schema: DescMessage, bytes: Uint8Array, limit: number): "within" | "beyond" | "malformed" {
  if (bytes.length <= limit * ELEMENT_COST) return "within";
  return new Walk(bytes, limit).message(fieldsOf(schema), bytes.length, 0);
}

class Walk {
  readonly #bytes: Uint8Array;
  #left: number;
  #at = 0;

  constructor(bytes: Uint8Array, limit: number) {
    this.#bytes = bytes;
    this.#left = limit;
  }

  message(fields: Fields, end: number, depth: number): "within" | "beyond" | "malformed" {
    if (depth >= MAX_DEPTH) return "malformed";
    while (this.#at < end) {
      const tag = this.#varint();
      if (tag === undefined || tag > MAX_TAG) return "malformed";
      const wireType = tag % 8;
      const field = fields.get(Math.floor(tag / 8));
      const isPacked = field?.packable === true && wireType === DELIMITED;
      if (field !== undefined && wireType !== field.wireType && !isPacked) return "malformed";
      const length = this.#skip(wireType);
      if (length === undefined || this.#at > end) return "malformed";
      if (field === undefined) continue;
      if (isPacked) this.#left -= this.#packed(field.wireType, length);
      else this.#left -= field.cost;
      if (this.#left < 0) return "beyond";
      const inner = field.entry ?? (field.message && fieldsOf(field.message));
      if (inner === undefined || length === 0) continue;
      const after = this.#at;
      this.#at = after - length;
      const found = this.message(inner, after, depth + 1);
      if (found !== "within") return found;
      this.#at = after;
    }
    return "within";
  }

  /** Returns the length of delimited data, 0 for anything else, undefined at the end of the bytes. */
  #skip(wireType: number): number | undefined {
    switch (wireType) {
      case VARINT:
        return this.#varint() === undefined ? undefined : 0;
      case FIXED64:
        this.#at += 8;
        return 0;
      case FIXED32:
        this.#at += 4;
        return 0;
      case DELIMITED: {
        const length = this.#varint();
        if (length !== undefined) this.#at += length;
        return length;
      }
      default:
        return undefined; // a group, which none of our messages has and no peer sends
    }
  }

  /** The number of elements in a packed list that ends here. */
  #packed(wireType: number, length: number): number {
    if (wireType === FIXED64) return length / 8;
    if (wireType === FIXED32) return length / 4;
    let count = 0;
    for (let at = this.#at - length; at < this.#at; at++) if (this.#bytes[at]! < 0x80) count++;
    return count;
  }

  /** Exact up to 2^53, which is beyond any tag or length that fits. */
  #varint(): number | undefined {
    let value = 0;
    for (let shift = 1, count = 0; count < 10; count++, shift *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  }
}

function fieldsOf(schema: DescMessage): Fields {
  let fields = known.get(schema);
  if (fields === undefined) {
    fields = new Map(schema.fields.map((field) => [field.number, fieldOf(field)]));
    known.set(schema, fields);
  }
  return fields;
}

function fieldOf(field: DescField): Field {
  const none = { packable: false, message: undefined, entry: undefined };
  switch (field.fieldKind) {
    case "message":
      return { ...none, wireType: DELIMITED, cost: MESSAGE_COST, message: field.message };
    case "scalar":
      return { ...none, wireType: wireTypeOf(field.scalar), cost: 0 };
    case "enum":
      return { ...none, wireType: VARINT, cost: 0 };
    case "list": {
      if (field.listKind === "message")
        return { ...none, wireType: DELIMITED, cost: MESSAGE_COST, message: field.message };
      const wireType = field.listKind === "enum" ? VARINT : wireTypeOf(field.scalar);
      return { ...none, wireType, packable: wireType !== DELIMITED, cost: ELEMENT_COST };
    }
    case "map": {
      const key = { ...none, wireType: wireTypeOf(field.mapKey), cost: 0 };
      const value =
        field.mapKind === "message"
          ? { ...none, wireType: DELIMITED, cost: MESSAGE_COST, message: field.message }
          : { ...none, wireType: field.mapKind === "enum" ? VARINT : wireTypeOf(field.scalar), cost: 0 };
      return {
        ...none,
        wireType: DELIMITED,
        cost: ELEMENT_COST,
        entry: new Map([
          [1, key],
          [2, value],
        ]),
      };
    }
  }
}

function wireTypeOf(scalar: ScalarType): number {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return DELIMITED;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return FIXED64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return FIXED32;
    default:
      return VARINT;
  }
}
