/**
 * The file in which V8's code of a bundle is kept between starts: one line of JSON, padded so that the code behind it is
 * aligned, then the code. V8 itself does not notice code that was damaged, and would run it. Pure.
 */

import { EXIT } from "../errors/user-error.ts";

export interface KeptCode {
  /** How the commands ended whose functions are in the code. */
  readonly outcomes: readonly Outcome[];
  readonly code: Buffer;
}

/** "running": the code was kept before the end. */
export type Outcome = "ok" | "failed" | "usage" | "running";

interface Header {
  /** Identifies what the code was compiled from. */
  readonly stamp: string;
  readonly outcomes: readonly Outcome[];
  readonly length: number;
  readonly sum: number;
}

const MAX_HEADER_BYTES = 8 * 1024;
const ALIGNMENT = 8;
const NEWLINE = 10;

export function encodeKept(stamp: string, { outcomes, code }: KeptCode): Buffer {
  const header: Header = { stamp, outcomes, length: code.length, sum: spotSum(code) };
  const text = JSON.stringify(header);
  const padding = ALIGNMENT - ((Buffer.byteLength(text) + 1) % ALIGNMENT);
  return Buffer.concat([Buffer.from(`${text}${" ".repeat(padding)}\n`), code]);
}

/** Undefined if the file is damaged, or its code was compiled from something else. */
export function decodeKept(bytes: Buffer, stamp: string): KeptCode | undefined {
  const end = bytes.subarray(0, MAX_HEADER_BYTES).indexOf(NEWLINE);
  const header = end < 0 ? undefined : headerOf(bytes.toString("utf8", 0, end));
  if (header?.stamp !== stamp || !Array.isArray(header.outcomes)) return undefined;
  const code = bytes.subarray(end + 1);
  return code.length === header.length && spotSum(code) === header.sum
    ? { outcomes: header.outcomes, code }
    : undefined;
}

function headerOf(text: string): Header | null | undefined {
  try {
    return JSON.parse(text) as Header | null;
  } catch {
    return undefined; // another program's file
  }
}

const SPOT_BYTES = 512;

/**
 * A sum over a word of each 512 bytes, in a fraction of the time that all bytes take. A file that a crash left behind lacks
 * whole blocks, or has empty ones, and each block is sampled several times.
 */
function spotSum(code: Buffer): number {
  let sum = code.length;
  for (let at = 0; at + 4 <= code.length; at += SPOT_BYTES)
    sum = Math.imul((sum << 5) ^ (sum >>> 27) ^ code.readUInt32LE(at), 0x9e3779b1);
  return sum >>> 0;
}

/**
 * Which functions run is decided by the command. All pages of help are one way; lines without a command are help or a mistake.
 * Empty if the first word names no command.
 */
export function wayOf(argv: readonly string[]): string {
  const [first = ""] = argv;
  if (first === "" || first.startsWith("-") || argv.includes("--help") || argv.includes("-h")) return "help";
  return /^[a-z][a-z-]{0,31}$/.exec(first)?.[0] ?? "";
}

/** Whether a command that ended like this ran functions that are not in the code yet. */
export function addsTo(outcomes: readonly Outcome[], outcome: Outcome): boolean {
  return !outcomes.includes(outcome) && !(outcome === "running" && outcomes.includes("ok"));
}

export function outcomeOf(exit: number): Outcome {
  if (exit === EXIT.usage) return "usage";
  return exit === EXIT.ok ? "ok" : "failed";
}
