import fc from "fast-check";
import { expect, test } from "vitest";
import { Accounts } from "./accounts.ts";
import { encodeAttributes, encodeFields, encodePacket, FieldReader, STATUS } from "./codec.ts";
import { bareLongName, longName } from "./long-name.ts";

test("a status packet is laid out as in the draft", () => {
  expect(encodePacket(101, { u32: 7 }, { u32: STATUS.eof }, { string: "End" }, { string: "" }).toString("hex")).toBe(
    ["00000014", "65", "00000007", "00000001", "00000003", "456e64", "00000000"].join(""),
  );
});

test("attributes read back as they were written, within the protocol's 32 bits", () => {
  fc.assert(
    fc.property(
      fc.record({
        size: fc.maxSafeNat(),
        uid: fc.nat(0xffff_ffff),
        gid: fc.nat(0xffff_ffff),
        mode: fc.nat(0o177777),
        atimeMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
        mtimeMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
      }),
      (facts) => {
        expect(new FieldReader(encodeAttributes(facts)).attributes()).toEqual({
          size: facts.size,
          owner: { uid: facts.uid, gid: facts.gid },
          mode: facts.mode,
          times: { accessed: Math.floor(facts.atimeMs / 1000), modified: Math.floor(facts.mtimeMs / 1000) },
        });
      },
    ),
  );
});

test("any bytes are read without throwing, and reading past the end is detected", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.array(fc.constantFrom("u8", "u32", "u64", "string", "attributes"), { maxLength: 8 }),
      (bytes, reads) => {
        const reader = new FieldReader(Buffer.from(bytes));
        let least = 0;
        for (const read of reads) {
          reader[read as "u8"]();
          least += { u8: 1, u32: 4, u64: 8, string: 4, attributes: 4 }[read as "u8"];
        }
        if (least > bytes.length) expect(reader.failed).toBe(true);
      },
    ),
  );
});

test("an offset beyond 2^53 and a flood of extended attributes fail", () => {
  const offset = new FieldReader(Buffer.from("ffffffffffffffff", "hex"));
  expect(offset.u64()).toBe(0);
  expect(offset.failed).toBe(true);
  const flood = new FieldReader(encodeFields([{ u32: 0x8000_0000 }, { u32: 0xffff_ffff }]));
  flood.attributes();
  expect(flood.failed).toBe(true);
});

test("long names look like ls -l", () => {
  const now = Date.UTC(2026, 5, 15, 12);
  const facts = { size: 1234, uid: 1000, gid: 100, mode: 0o100644, atimeMs: now, mtimeMs: now, nlink: 12 };
  const names = Accounts.parse("# comment\nroot:x:0:0::/root:\nme:x:1000:100::/home/me:\n", "wheel:x:0:\n");
  expect(longName(Buffer.from("notes"), facts, names, now).toString()).toMatch(
    /^-rw-r--r-- {3}12 me {7}100 {10}1234 Jun 15 \d\d:\d\d notes$/,
  );
  expect(longName(Buffer.from("x"), { ...facts, uid: 5, gid: 0 }, names, now).toString()).toContain(" 5        wheel ");
  expect(bareLongName(Buffer.from("x")).toString()).toMatch(/^\?-{9} .* x$/);
  const old = longName(Buffer.from("d"), { ...facts, mode: 0o041777, mtimeMs: 0 }, names, now).toString();
  expect(old).toMatch(/^drwxrwxrwt .* (?:Jan {2}1 {2}1970|Dec 31 {2}1969) d$/);
  expect(longName(Buffer.from("s"), { ...facts, mode: 0o104755 }, names, now).toString()).toMatch(/^-rwsr-xr-x/);
});
