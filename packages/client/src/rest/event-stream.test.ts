import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EventStreamParser, type StreamEvent } from "./event-stream.ts";

const encoder = new TextEncoder();

function parse(text: string, cuts: readonly number[] = []): StreamEvent[] {
  const bytes = encoder.encode(text);
  const parser = new EventStreamParser();
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  let from = 0;
  return ends.flatMap((end) => {
    const part = parser.feed(bytes.subarray(from, end));
    from = end;
    return part;
  });
}

describe("event streams", () => {
  it("reads types, data of several lines, comments and any line end", () => {
    expect(parse("event: data\ndata: {\r\ndata:  1}\r\n\r\n: comment\n\nevent: ping\n\ndata:x\r\r\n")).toEqual([
      { type: "data", data: "{\n 1}" },
      { type: "ping", data: "" },
      { type: "message", data: "x" },
    ]);
  });

  it("keeps an incomplete event", () => {
    expect(parse("data: half")).toEqual([]);
    expect(parse("data: half\n")).toEqual([]);
  });

  it("gives the same events however the bytes arrive", () => {
    const text = 'event: data\r\ndata: {"name":"müsli"}\r\n\r\nevent: ping\n\ndata: a\ndata: b\n\n';
    fc.assert(
      fc.property(fc.array(fc.nat(200), { maxLength: 10 }), (cuts) => {
        expect(parse(text, cuts)).toEqual(parse(text));
      }),
    );
  });

  it("refuses an endless event", () => {
    const parser = new EventStreamParser();
    const line = encoder.encode(`data: ${"x".repeat(1024 * 1024)}\n`);
    expect(() => {
      for (let times = 0; times < 10; times++) parser.feed(line);
    }).toThrow("too long");
  });
});
