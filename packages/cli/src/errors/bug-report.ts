import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../base/version.ts";

export interface BugReport {
  readonly text: string;
  /** Undefined when no file could be written. */
  readonly path: string | undefined;
}

/** Writes the stack of an unexpected error to a file that the user can attach to a report. */
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
    return { text, path: undefined }; // the error itself matters more; the caller prints it
  }
  return { text, path };
}
