import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../base/version.ts";

export interface BugReport {
  readonly text: string;
  /** Undefined where no file can be written. */
  readonly path: string | undefined;
}

/** Writes the stack of an unexpected error where a person can attach it from. */
export function writeBugReport(error: unknown): BugReport {
  const path = join(tmpdir(), `coder-bug-${process.pid}-${Date.now()}.txt`);
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause =
    error instanceof Error && error.cause !== undefined
      ? `\ncause: ${String((error.cause as Error).stack ?? error.cause)}`
      : "";
  const text = `coder ${VERSION}, node ${process.version}, ${process.platform} ${process.arch}\n${stack}${cause}\n`;
  try {
    writeFileSync(path, text, { mode: 0o600 });
  } catch {
    return { text, path: undefined }; // the error itself matters more, and is printed then
  }
  return { text, path };
}
