/**
 * A terminal's output in records, for viewers that put `"Framed":true` into their first message:
 * u8 kind ‖ u24 big-endian length ‖ that many bytes, at most 256 KiB.
 */

export const OUTPUT_RECORD = 0;
/** Earlier output, shown again. */
export const REPLAY_RECORD = 1;
/** One {@link TerminalEvent} as JSON. */
export const EVENT_RECORD = 2;
export type RecordKind = typeof OUTPUT_RECORD | typeof REPLAY_RECORD | typeof EVENT_RECORD;

export const MAX_RECORD_BYTES = 256 * 1024;
const HEAD_BYTES = 4;

/** The records that carry these bytes; none for no bytes. */
export function toRecords(kind: RecordKind, bytes: Uint8Array): Uint8Array {
  const count = Math.ceil(bytes.length / MAX_RECORD_BYTES);
  const records = new Uint8Array(bytes.length + count * HEAD_BYTES);
  let at = 0;
  for (let start = 0; start < bytes.length; start += MAX_RECORD_BYTES) {
    const body = bytes.subarray(start, start + MAX_RECORD_BYTES);
    records[at] = kind;
    records[at + 1] = body.length >> 16;
    records[at + 2] = body.length >> 8;
    records[at + 3] = body.length;
    records.set(body, at + HEAD_BYTES);
    at += HEAD_BYTES + body.length;
  }
  return records;
}

export interface RecordSink {
  /** A piece of a record of output or replay: it is passed on as it arrives. @param bytes Aliases the chunk. */
  bytes(kind: typeof OUTPUT_RECORD | typeof REPLAY_RECORD, bytes: Uint8Array): void;
  /** A whole event, as JSON in UTF-8. */
  event(json: Uint8Array): void;
}

/** Cuts a stream into records. Never throws; after an error it must not be used again. */
export class RecordReader {
  readonly #sink: RecordSink;
  readonly #head = new Uint8Array(HEAD_BYTES);
  #headLength = 0;
  /** Bytes that the current record still lacks. */
  #left = 0;
  #event: Uint8Array | undefined;

  constructor(sink: RecordSink) {
    this.#sink = sink;
  }

  /** @returns why the stream does not consist of records, if so. */
  push(chunk: Uint8Array): string | undefined {
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        this.#head[this.#headLength++] = chunk[at++]!;
        if (this.#headLength < HEAD_BYTES) continue;
        const problem = this.#begin();
        if (problem !== undefined) return problem;
        continue;
      }
      const piece = chunk.subarray(at, at + this.#left);
      at += piece.length;
      this.#body(piece);
    }
    return undefined;
  }

  #begin(): string | undefined {
    this.#headLength = 0;
    const kind = this.#head[0]!;
    const length = (this.#head[1]! << 16) | (this.#head[2]! << 8) | this.#head[3]!;
    if (kind > EVENT_RECORD) return `a record of the unknown kind ${kind}`;
    if (length > MAX_RECORD_BYTES) return `a record of ${length} bytes; ${MAX_RECORD_BYTES} are the most`;
    this.#left = length;
    this.#event = kind === EVENT_RECORD && length > 0 ? new Uint8Array(length) : undefined;
    return undefined;
  }

  #body(piece: Uint8Array): void {
    const event = this.#event;
    if (event === undefined) {
      this.#left -= piece.length;
      this.#sink.bytes(this.#head[0] === REPLAY_RECORD ? REPLAY_RECORD : OUTPUT_RECORD, piece);
      return;
    }
    event.set(piece, event.length - this.#left);
    this.#left -= piece.length;
    if (this.#left > 0) return;
    this.#event = undefined;
    this.#sink.event(event);
  }
}
