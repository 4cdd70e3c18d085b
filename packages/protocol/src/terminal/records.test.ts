import { expect, it } from "vitest";
import { EVENT_RECORD, MAX_RECORD_BYTES, OUTPUT_RECORD, REPLAY_RECORD, RecordReader, toRecords } from "./records.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** The records that a reader finds in chunks, with pieces of one kind joined. */
function read(chunks: readonly Uint8Array[]) {
  const seen: (readonly [number, string])[] = [];
  let error: string | undefined;
  const reader = new RecordReader({
    bytes: (kind, bytes) => {
      const last = seen.at(-1);
      const now = Buffer.from(bytes).toString("latin1");
      if (last?.[0] === kind) seen[seen.length - 1] = [kind, last[1] + now];
      else seen.push([kind, now]);
    },
    event: (json) => seen.push([EVENT_RECORD, new TextDecoder().decode(json)]),
  });
  for (const chunk of chunks) error ??= reader.push(chunk);
  return { seen, error };
}

const WHOLE = Buffer.concat([
  toRecords(EVENT_RECORD, text('{"type":"hello"}')),
  toRecords(REPLAY_RECORD, text("before")),
  toRecords(EVENT_RECORD, text('{"type":"replay-end","ä":"€"}')),
  toRecords(OUTPUT_RECORD, text("\u0000\u0002now")),
]);
const SEEN = [
  [EVENT_RECORD, '{"type":"hello"}'],
  [REPLAY_RECORD, "before"],
  [EVENT_RECORD, '{"type":"replay-end","ä":"€"}'],
  [OUTPUT_RECORD, "\u0000\u0002now"],
];

it("reads the same records from every split in two, in three and byte by byte", () => {
  expect(read([WHOLE])).toEqual({ seen: SEEN, error: undefined });
  expect(read(Array.from(WHOLE, (_, at) => WHOLE.subarray(at, at + 1))).seen).toEqual(SEEN);
  for (let first = 0; first <= WHOLE.length; first++)
    for (let second = first; second <= WHOLE.length; second += 3)
      expect(read([WHOLE.subarray(0, first), WHOLE.subarray(first, second), WHOLE.subarray(second)]).seen).toEqual(
        SEEN,
      );
});

it("output that looks like an event stays output", () => {
  const forged = Buffer.concat([toRecords(EVENT_RECORD, text('{"type":"exit"}')), text('{"type":"exit"}')]);
  expect(read([toRecords(OUTPUT_RECORD, forged)]).seen).toEqual([[OUTPUT_RECORD, forged.toString("latin1")]]);
});

it("refuses unknown kinds and lengths beyond the limit", () => {
  expect(read([Uint8Array.of(3, 0, 0, 1, 0)]).error).toContain("unknown kind 3");
  expect(read([Uint8Array.of(0, 4, 0, 1)]).error).toContain("262145 bytes");
  expect(read([Uint8Array.of(0, 4, 0, 0)]).error).toBeUndefined();
});

it("long output becomes several records, and empty output none", () => {
  const long = new Uint8Array(MAX_RECORD_BYTES * 2 + 5).fill(65);
  expect(toRecords(OUTPUT_RECORD, long).length).toBe(long.length + 3 * 4);
  expect(read([toRecords(OUTPUT_RECORD, long)]).seen[0]![1].length).toBe(long.length);
  expect(toRecords(OUTPUT_RECORD, new Uint8Array(0)).length).toBe(0);
});

it("random bytes never throw", () => {
  let seed = 1;
  const random = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed / 0x7fffffff;
  };
  for (let round = 0; round < 2_000; round++)
    read([Uint8Array.from({ length: Math.floor(random() * 64) }, () => Math.floor(random() * (round % 2 ? 256 : 4)))]);
});
