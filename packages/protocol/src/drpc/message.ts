/** Encodes and decodes messages without throwing. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { LOCAL_CODE } from "./call.ts";
import { DrpcError } from "./error.ts";
import { MAX_PACKET_BYTES } from "./frame.ts";
import { costOf } from "./message-cost.ts";

/**
 * Submessages count 2, elements of lists and entries of maps 1. A batch of 50,000 empty log lines, the largest of stock agents, counts
 * 200,000.
 */
const MAX_COST = 256 * 1024;

/** `/<package>.<Service>/<Method>`. */
export function rpcPath(method: { readonly parent: { readonly typeName: string }; readonly name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/**
 * Returns the error instead of throwing it: a peer's bytes must not throw through a state machine. With the reason `overflow`, the
 * connection should end, because a peer that sends such a message will send another.
 */
export function decode<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> | DrpcError {
  switch (costOf(schema, bytes, MAX_COST)) {
    case "beyond":
      return new DrpcError(LOCAL_CODE, `${schema.typeName} has too many elements`, { reason: "overflow" });
    case "malformed":
      return malformed(schema);
    case "within":
      try {
        return fromBinary(schema, bytes, { readUnknownFields: false });
      } catch (cause) {
        return malformed(schema, cause);
      }
  }
}

function malformed(schema: DescMessage, cause?: unknown): DrpcError {
  return new DrpcError(LOCAL_CODE, `malformed ${schema.typeName}`, { reason: "protocol", cause });
}

/** A message that cannot be encoded, or exceeds any peer's limit, is a failure of the sender. */
export function encode<D extends DescMessage>(schema: D, message: MessageInitShape<D>): Uint8Array | DrpcError {
  try {
    const bytes = toBinary(schema, create(schema, message));
    if (bytes.length <= MAX_PACKET_BYTES) return bytes;
    return new DrpcError(
      LOCAL_CODE,
      `${schema.typeName} has ${bytes.length} bytes, at most ${MAX_PACKET_BYTES} can be sent`,
      {
        reason: "overflow",
      },
    );
  } catch (cause) {
    return new DrpcError(LOCAL_CODE, `${schema.typeName} cannot be encoded`, { reason: "protocol", cause });
  }
}
