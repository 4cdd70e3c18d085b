/** Reads the status files of this machine's running connections, which network-info.ts writes. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { OpenConnection } from "../diagnosis/status-text.ts";

/** Removes unreadable files and those of ended processes. */
export function openConnections(configDir: string): OpenConnection[] {
  const dir = join(configDir, "connections");
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return names
    .filter((name) => /^[0-9]+\.json$/.test(name))
    .flatMap((name) => {
      const path = join(dir, name);
      const read = isRunning(Number.parseInt(name, 10)) ? readStatus(path) : undefined;
      if (read === undefined) rmSync(path, { force: true });
      return read === undefined ? [] : [read];
    })
    .sort((a, b) => a.startedAt.localeCompare(b.startedAt));
}

function readStatus(path: string): OpenConnection | undefined {
  try {
    const read = JSON.parse(readFileSync(path, "utf8")) as OpenConnection;
    return typeof read.pid === "number" && typeof read.workspace === "string" && typeof read.startedAt === "string"
      ? read
      : undefined;
  } catch {
    return undefined; // the connection ended after the listing, or the file is no status file
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
