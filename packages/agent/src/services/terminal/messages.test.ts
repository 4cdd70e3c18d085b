import fc from "fast-check";
import { expect, test } from "vitest";
import { InitReader, InputReader, type TerminalInput } from "./messages.ts";

const ID = "0b7f6e57-5f4c-4a55-8f3d-6b4f4d1c2a10";
/** Encoded as a Go client does it. */
const STOCK = `{"ID":"${ID}","Height":24,"Width":80,"Command":"top","Container":"","ContainerUser":"","BackendType":""}`;

function framed(json: string | Uint8Array): Uint8Array {
  const body = Buffer.from(json);
  const head = Buffer.alloc(2);
  head.writeUInt16LE(body.length);
  return Buffer.concat([head, body]);
}

/** Cuts bytes into pieces of the given sizes and the rest. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    pieces.push(bytes.slice(at, at + size));
    at += size;
  }
  return [...pieces, bytes.slice(at)];
}

test("the first message is read however it is split, and what follows it is passed on", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 12 }), (sizes) => {
      const reader = new InitReader();
      const rest: Uint8Array[] = [];
      let init: unknown;
      for (const piece of cut(Buffer.concat([framed(STOCK), Buffer.from('{"data":"x"}')]), sizes)) {
        if (init !== undefined) {
          rest.push(piece);
          continue;
        }
        const message = reader.push(piece);
        if (message === undefined) continue;
        if ("error" in message) throw new Error(message.error);
        init = message.init;
        rest.push(message.rest);
      }
      expect(init).toEqual({
        id: ID,
        rows: 24,
        columns: 80,
        command: "top",
        container: "",
        backend: "",
        keepSeconds: 0,
        user: "",
        userName: "",
        framed: false,
        readOnly: false,
      });
      expect(Buffer.concat(rest).toString()).toBe('{"data":"x"}');
    }),
  );
});

test("a first message of the full 64 KiB is read", () => {
  const filler = 65_535 - JSON.stringify({ ID, Command: "" }).length;
  const message = new InitReader().push(framed(JSON.stringify({ ID, Command: "x".repeat(filler) })));
  expect(message).toMatchObject({ init: { id: ID, rows: 0, columns: 0 }, rest: { length: 0 } });
});

test("a terminal is kept for three days at most", () => {
  const message = new InitReader().push(framed(JSON.stringify({ ID, KeepSeconds: 1e9 })));
  expect(message).toMatchObject({ init: { keepSeconds: 72 * 3600 } });
});

test.each([
  ["no JSON", "{", "JSON"],
  ["an array", "[]", "JSON"],
  ["no id", "{}", "UUID"],
  ["an id that is not a UUID", '{"ID":"../../etc"}', "UUID"],
  ["a negative height", `{"ID":"${ID}","Height":-1}`, "Height"],
  ["a width of 17 bits", `{"ID":"${ID}","Width":65536}`, "Width"],
  ["a command that is a number", `{"ID":"${ID}","Command":1}`, "Command"],
  ["a command with a NUL", `{"ID":"${ID}","Command":"a\\u0000b"}`, "Command"],
  ["half a second to keep", `{"ID":"${ID}","KeepSeconds":0.5}`, "KeepSeconds"],
  ["a container that is an object", `{"ID":"${ID}","Container":{}}`, "Container"],
])("a first message with %s is refused", (_, json, why) => {
  expect(new InitReader().push(framed(json))).toMatchObject({ error: expect.stringContaining(why) });
});

test("any concatenation of inputs, cut anywhere, gives these inputs", () => {
  const size = fc.integer({ min: 0, max: 65_535 });
  const input = fc.record({ data: fc.string({ unit: "grapheme" }), height: size, width: size });
  fc.assert(
    fc.property(fc.array(input), fc.array(fc.integer({ min: 0, max: 30 })), (inputs, sizes) => {
      const reader = new InputReader();
      const read: TerminalInput[] = [];
      const bytes = Buffer.from(inputs.map((one) => JSON.stringify(one)).join(""));
      for (const piece of cut(bytes, sizes)) {
        const { inputs: found, error } = reader.push(piece);
        expect(error).toBeUndefined();
        read.push(...found);
      }
      expect(read).toEqual(inputs.map(({ data, height, width }) => ({ data, rows: height, columns: width })));
    }),
  );
});

test("braces, quotes and backslashes within text do not end an object, white space between objects is skipped", () => {
  const data = 'echo "{\\"}]" \\\\ } {';
  const { inputs, error } = new InputReader().push(
    Buffer.from(` ${JSON.stringify({ data, x: [{}] })}\n\t{"Data":"b"}\r\n`),
  );
  expect(error).toBeUndefined();
  expect(inputs.map((one) => one.data)).toEqual([data, "b"]);
});

test.each([
  ["text outside an object", "x", "not a JSON object"],
  ["mismatched brackets", "{]", "not a JSON object"],
  ["an unquoted name", "{data:1}", "not a JSON object"],
  ["deep nesting", '{"a":'.repeat(9), "nested too deeply"],
  ["data that is a number", '{"data":1}', "not a string"],
  ["a size that is a fraction", '{"height":1.5,"width":2}', "size"],
])("input with %s is an error, after the inputs before it", (_, text, why) => {
  const { inputs, error } = new InputReader().push(Buffer.from(`{"data":"before"}${text}`));
  expect(inputs.map((one) => one.data)).toEqual(["before"]);
  expect(error).toContain(why);
});

test("an object that never ends is an error once it is longer than 1 MiB, not before", () => {
  const reader = new InputReader();
  expect(reader.push(Buffer.from('{"data":"')).error).toBeUndefined();
  const piece = Buffer.alloc(64 * 1024, 0x61);
  let pieces = 0;
  let error: string | undefined;
  while (error === undefined && pieces < 100) {
    error = reader.push(piece).error;
    pieces++;
  }
  expect(pieces).toBe(16);
  expect(error).toContain("longer than");
});

test("any bytes give inputs or an error and nothing is thrown", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      new InitReader().push(bytes);
      new InputReader().push(bytes);
    }),
  );
});
