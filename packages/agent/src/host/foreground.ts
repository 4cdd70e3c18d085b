import { readFileSync, readlinkSync } from "node:fs";

/** Name of the program in the foreground of a session leader's terminal; empty where the system does not report it. */
export function foregroundProgram(leader: number): string {
  try {
    // proc_pid_stat(5): field 8 is the terminal's foreground process group; the name in field 2 may contain anything.
    const stat = readFileSync(`/proc/${leader}/stat`, "latin1");
    const group = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[5]);
    return group > 0 ? readFileSync(`/proc/${group}/comm`, "utf8").trim() : "";
  } catch {
    return ""; // not Linux, or it has ended
  }
}

/** Working directory of a process; undefined where the system does not report it. */
export function workingDirectory(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined; // not Linux, or it has ended or changed its user
  }
}
