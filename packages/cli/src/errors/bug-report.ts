import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../base/version.ts";

/** Writes the stack of an unexpected error where a person can attach it from. Returns the path. */
export function writeBugReport(error: unknown): string {
  const path = join(tmpdir(), `coder-bug-${process.pid}-${Date.now()}.txt`);
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause =
    error instanceof Error && error.cause !== undefined
      ? `\ncause: ${String((error.cause as Error).stack ?? error.cause)}`
      : "";
  writeFileSync(
    path,
    `coder ${VERSION}, node ${process.version}, ${process.platform} ${process.arch}\n${stack}${cause}\n`,
    {
      mode: 0o600,
    },
  );
  return path;
}
