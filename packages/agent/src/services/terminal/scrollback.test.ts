import fc from "fast-check";
import { expect, test } from "vitest";
import { Scrollback } from "./scrollback.ts";

test("it keeps exactly the last bytes of plain text, however it is fragmented", () => {
  const text = fc.string({ unit: fc.constantFrom(..."abcdefghij\r\n".split("")), maxLength: 50 });
  fc.assert(
    fc.property(fc.array(text), (pieces) => {
      const scrollback = new Scrollback(64);
      for (const piece of pieces) scrollback.append(Buffer.from(piece));
      expect(Buffer.from(scrollback.replay()).toString()).toBe(pieces.join("").slice(-64));
    }),
  );
});

test("a replay never starts inside a character", () => {
  fc.assert(
    fc.property(
      fc.uint16Array({ maxLength: 200 }).map((units) => String.fromCharCode(...units)),
      fc.integer({ min: 8, max: 40 }),
      (raw, capacity) => {
        const text = raw.replace(/[\u0000-\u001f\u007f]|[\ud800-\udfff]/gu, ".");
        const scrollback = new Scrollback(capacity);
        for (const byte of Buffer.from(text)) scrollback.append(Uint8Array.of(byte));
        const shown = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(scrollback.replay());
        expect(text.endsWith(shown)).toBe(true);
        expect(Buffer.byteLength(shown)).toBeGreaterThan(Math.min(capacity, Buffer.byteLength(text)) - 4);
      },
    ),
  );
});

test.each([
  ["a colour", "\u001b[38;5;196m"],
  ["a window title ended by BEL", "\u001b]0;a title [31m\u0007"],
  ["a link ended by ESC \\", "\u001b]8;;https://example.com/ä\u001b\\"],
  ["a character set", "\u001b(B"],
  ["a device control string", "\u001bP1$r0m\u001b\\"],
  ["a sequence that is cancelled", "\u001b[12\u0018"],
])("a replay never starts inside %s, wherever it is cut", (_, sequence) => {
  const bytes = Buffer.from(`before${sequence}AFTER`);
  for (let capacity = 5; capacity <= bytes.length; capacity++) {
    const scrollback = new Scrollback(capacity);
    scrollback.append(bytes);
    const shown = Buffer.from(scrollback.replay()).toString();
    const wholeFits = capacity >= 5 + Buffer.byteLength(sequence);
    expect(shown).toBe(wholeFits ? bytes.subarray(-capacity).toString() : "AFTER");
  }
});

test("a sequence without an end hides 8 KiB at most", () => {
  const scrollback = new Scrollback(16 * 1024);
  scrollback.append(Buffer.from("\u001b]0;"));
  scrollback.append(Buffer.alloc(20 * 1024, 0x61));
  expect(scrollback.replay().length).toBe(16 * 1024);
});

test("pieces larger than the whole keep their end", () => {
  const scrollback = new Scrollback(8);
  scrollback.append(Buffer.from("xyz"));
  scrollback.append(Buffer.from("0123456789abcdef"));
  expect(Buffer.from(scrollback.replay()).toString()).toBe("89abcdef");
  scrollback.append(Buffer.from("gh"));
  expect(Buffer.from(scrollback.replay()).toString()).toBe("abcdefgh");
});
