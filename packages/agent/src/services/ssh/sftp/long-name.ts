import { constants } from "node:fs";
import type { FileFacts } from "./codec.ts";

const TYPES: ReadonlyMap<number, string> = new Map([
  [constants.S_IFSOCK, "s"],
  [constants.S_IFLNK, "l"],
  [constants.S_IFREG, "-"],
  [constants.S_IFBLK, "b"],
  [constants.S_IFDIR, "d"],
  [constants.S_IFCHR, "c"],
  [constants.S_IFIFO, "p"],
]);
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const HALF_YEAR_MS = 182 * 24 * 60 * 60 * 1000;

/** Names of owners, where they have any. */
export interface OwnerNames {
  user(uid: number): string | undefined;
  group(gid: number): string | undefined;
}

/** A line as `ls -l` prints it; clients show it unchanged. */
export function longName(
  name: Buffer,
  facts: FileFacts & { readonly nlink: number },
  names: OwnerNames,
  nowMs = Date.now(),
): Buffer {
  const columns = [
    `${TYPES.get(facts.mode & constants.S_IFMT) ?? "?"}${permissions(facts.mode)}`,
    String(facts.nlink).padStart(4),
    (names.user(facts.uid) ?? String(facts.uid)).padEnd(8),
    (names.group(facts.gid) ?? String(facts.gid)).padEnd(8),
    String(facts.size).padStart(8),
    date(facts.mtimeMs, nowMs),
  ];
  return Buffer.concat([Buffer.from(`${columns.join(" ")} `), name]);
}

/** The line of a name that cannot be looked at, as `ls -l` prints it. */
export function bareLongName(name: Buffer): Buffer {
  const columns = ["?---------", "   ?", "?".padEnd(8), "?".padEnd(8), "?".padStart(8), "?".padStart(12)];
  return Buffer.concat([Buffer.from(`${columns.join(" ")} `), name]);
}

function permissions(mode: number): string {
  const triple = (bits: number, special: boolean, letter: string): string => {
    const execute = (bits & 1) !== 0;
    const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? "x" : "-";
    return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${last}`;
  };
  return (
    triple(mode >> 6, (mode & 0o4000) !== 0, "s") +
    triple(mode >> 3, (mode & 0o2000) !== 0, "s") +
    triple(mode, (mode & 0o1000) !== 0, "t")
  );
}

function date(ms: number, nowMs: number): string {
  const time = new Date(ms);
  const day = `${MONTHS[time.getMonth()]} ${String(time.getDate()).padStart(2)}`;
  if (Math.abs(nowMs - ms) > HALF_YEAR_MS) return `${day}  ${time.getFullYear()}`;
  return `${day} ${String(time.getHours()).padStart(2, "0")}:${String(time.getMinutes()).padStart(2, "0")}`;
}
