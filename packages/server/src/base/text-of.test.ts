import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { textOf } from "./text-of.ts";

test("a character that is split between two chunks is read whole, and a body has at most the given length", async () => {
  const bytes = Buffer.from("Ünïcödé 🙂");
  const split = (): Readable => Readable.from(Array.from(bytes, (byte) => Buffer.of(byte)));
  expect(await textOf(split(), bytes.length)).toBe("Ünïcödé 🙂");
  await expect(textOf(split(), bytes.length - 1)).rejects.toThrow(`it sent more than ${bytes.length - 1} bytes`);
});
