/** Gives the address with its secret to the browser of this user, and to no other user of this machine. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeDirectories } from "../base/make-directories.ts";

export interface HandOver {
  /** What the system's opener gets. */
  readonly opens: string;
  /** Call when the address is of no use any more. */
  remove(): void;
}

/**
 * Arguments of programs are visible to other users on Linux and macOS. On Linux that does no harm, because the server sees which
 * user connects; on Windows they are not visible. Elsewhere the browser opens a private file that leads to the address.
 */
export function handOver(address: string, configDir: string, platform = process.platform): HandOver {
  if (platform === "linux" || platform === "win32") return { opens: address, remove: () => undefined };
  makeDirectories(configDir);
  const file = join(configDir, `open-terminal-${process.pid}.html`);
  writeFileSync(file, `<!doctype html><meta http-equiv="refresh" content="0; url=${address}">\n`, { mode: 0o600 });
  return { opens: file, remove: () => rmSync(file, { force: true }) };
}
