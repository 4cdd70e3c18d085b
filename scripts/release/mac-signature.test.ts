import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { signatureFault } from "./mac-signature.ts";

const PAGE_BYTES = 4096;
const CODE_BYTES = 3 * PAGE_BYTES + 100;

/** A header, one load command that locates the signature, code, and the signature. */
function signedFile(): Buffer {
  const code = Buffer.alloc(CODE_BYTES, 7);
  const pages = Math.ceil(CODE_BYTES / PAGE_BYTES);
  const directory = Buffer.alloc(44 + pages * 32);
  const signature = Buffer.alloc(20);
  code.writeUInt32LE(0xfeedfacf, 0);
  code.writeUInt32LE(1, 16);
  code.writeUInt32LE(16, 20);
  code.writeUInt32LE(0x1d, 32);
  code.writeUInt32LE(16, 36);
  code.writeUInt32LE(CODE_BYTES, 40);
  code.writeUInt32LE(signature.length + directory.length, 44);
  directory.writeUInt32BE(0xfade0c02, 0);
  directory.writeUInt32BE(directory.length, 4);
  directory.writeUInt32BE(0x2, 12);
  directory.writeUInt32BE(44, 16);
  directory.writeUInt32BE(pages, 28);
  directory.writeUInt32BE(CODE_BYTES, 32);
  directory.set([32, 2, 0, 12], 36);
  for (let page = 0; page < pages; page++)
    directory.set(
      createHash("sha256")
        .update(code.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES))
        .digest(),
      44 + page * 32,
    );
  signature.writeUInt32BE(0xfade0cc0, 0);
  signature.writeUInt32BE(signature.length + directory.length, 4);
  signature.writeUInt32BE(1, 8);
  signature.writeUInt32BE(20, 16);
  return Buffer.concat([code, signature, directory]);
}

describe("the signature of an executable for macOS", () => {
  it("holds when every page has its hash", () => {
    expect(signatureFault(signedFile())).toBeUndefined();
  });

  const damages: readonly [string, (file: Buffer) => Buffer, string][] = [
    ["a page was changed", (file) => change(file, 2 * PAGE_BYTES), "the hash of page 2 is wrong"],
    ["the last, shorter page was changed", (file) => change(file, CODE_BYTES - 1), "the hash of page 3 is wrong"],
    ["the end is missing", (file) => file.subarray(0, -1), "the signature lies behind the end of the file"],
    ["the load command is a different one", (file) => change(file, 32), "it is not signed"],
    ["other data lies there", (file) => change(file, CODE_BYTES), "there is no signature where it should be"],
    ["its directory is invalid", (file) => change(file, CODE_BYTES + 20), "the signature has no code directory"],
    ["a hash is missing", (file) => change(file, CODE_BYTES + 20 + 31), "it has too few or too many hashes"],
    [
      "it covers more than there is",
      (file) => change(file, CODE_BYTES + 20 + 34),
      "it covers 12644 bytes, and the code has 12388",
    ],
    ["it is not an executable", () => Buffer.from("#!/bin/sh\n"), "it is not a 64-bit Mach-O file"],
    ["it is empty", () => Buffer.alloc(0), "it is not a 64-bit Mach-O file"],
  ];
  it.each(damages)("does not when %s", (_, damage, fault) => {
    expect(signatureFault(damage(signedFile()))).toBe(fault);
  });
});

function change(file: Buffer, at: number): Buffer {
  file[at]! ^= 1;
  return file;
}
