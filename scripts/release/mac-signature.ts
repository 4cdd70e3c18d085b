/**
 * Reads the code signature of a 64-bit Mach-O executable as the kernel of macOS does before it starts one: the hashes
 * of the pages must match. Structures: mach-o/loader.h and kern/cs_blobs.h of Apple's XNU.
 */
import { createHash } from "node:crypto";

const MH_MAGIC_64 = 0xfeedfacf;
const HEADER_BYTES = 32;
const LC_CODE_SIGNATURE = 0x1d;
const CSMAGIC_EMBEDDED_SIGNATURE = 0xfade0cc0;
const CSMAGIC_CODEDIRECTORY = 0xfade0c02;
const CSSLOT_CODEDIRECTORY = 0;
const SHA256 = 2;
const SHA256_BYTES = 32;

/** @returns the problem with the signature; undefined when it is valid. */
export function signatureFault(file: Buffer): string | undefined {
  const command = signatureCommand(file);
  if (typeof command === "string") return command;
  const { offset, size } = command;
  if (offset + size > file.length) return "the signature lies behind the end of the file";
  const signature = file.subarray(offset, offset + size);
  if (size < 12 || signature.readUInt32BE(0) !== CSMAGIC_EMBEDDED_SIGNATURE)
    return "there is no signature where it should be";
  const directory = directoryOf(signature);
  if (directory === undefined || directory.length < 44 || directory.readUInt32BE(0) !== CSMAGIC_CODEDIRECTORY)
    return "the signature has no code directory";
  const hashes = directory.readUInt32BE(16);
  const count = directory.readUInt32BE(28);
  const limit = directory.readUInt32BE(32);
  const pageBytes = 2 ** directory[39]!;
  if (directory[37] !== SHA256 || directory[36] !== SHA256_BYTES) return "its hashes are not SHA-256";
  if (limit !== offset) return `it covers ${limit} bytes, and the code has ${offset}`;
  if (count !== Math.ceil(limit / pageBytes) || hashes + count * SHA256_BYTES > directory.length)
    return "it has too few or too many hashes";
  for (let page = 0; page < count; page++) {
    const content = file.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, limit));
    const at = hashes + page * SHA256_BYTES;
    if (
      !createHash("sha256")
        .update(content)
        .digest()
        .equals(directory.subarray(at, at + SHA256_BYTES))
    )
      return `the hash of page ${page} is wrong`;
  }
  return undefined;
}

function signatureCommand(file: Buffer): { offset: number; size: number } | string {
  if (file.length < HEADER_BYTES || file.readUInt32LE(0) !== MH_MAGIC_64) return "it is not a 64-bit Mach-O file";
  const end = HEADER_BYTES + file.readUInt32LE(20);
  let at = HEADER_BYTES;
  for (let left = file.readUInt32LE(16); left > 0 && at + 16 <= Math.min(end, file.length); left--) {
    if (file.readUInt32LE(at) === LC_CODE_SIGNATURE)
      return { offset: file.readUInt32LE(at + 8), size: file.readUInt32LE(at + 12) };
    const bytes = file.readUInt32LE(at + 4);
    if (bytes < 8) return "its load commands are damaged";
    at += bytes;
  }
  return "it is not signed";
}

function directoryOf(signature: Buffer): Buffer | undefined {
  for (let i = 0; i < signature.readUInt32BE(8) && 12 + i * 8 + 8 <= signature.length; i++) {
    if (signature.readUInt32BE(12 + i * 8) !== CSSLOT_CODEDIRECTORY) continue;
    const start = signature.readUInt32BE(16 + i * 8);
    if (start + 8 > signature.length) return undefined;
    return signature.subarray(start, start + signature.readUInt32BE(start + 4));
  }
  return undefined;
}
