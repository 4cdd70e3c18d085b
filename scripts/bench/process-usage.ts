/** Resources that a process has used so far, as Linux counts them. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** What the figures of this file need. */
export const usageMissing: readonly string[] = process.platform === "linux" ? [] : ["Linux (/proc)"];

let pageBytes: number | undefined;

/** User and system time of all threads, in steps of 10 ms. */
export function cpuSeconds(pid: number): number {
  const fields = afterName(readFileSync(`/proc/${pid}/stat`, "utf8"));
  const [utime, stime] = [Number(fields[11]), Number(fields[12])];
  return (utime + stime) / 100; // USER_HZ is 100 on every architecture that Node runs on
}

/** Like cpuSeconds, but of its child processes that have ended and were waited for, and of their children. */
export function endedChildrenCpuSeconds(pid: number): number {
  const fields = afterName(readFileSync(`/proc/${pid}/stat`, "utf8"));
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

/** Child processes that have not been waited for. */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
}

/** Like cpuSeconds, but with all descendants: those that run, and those that were waited for. */
export function familyCpuSeconds(pid: number): number {
  try {
    const own = cpuSeconds(pid) + endedChildrenCpuSeconds(pid);
    return childrenOf(pid).reduce((sum, child) => sum + familyCpuSeconds(child), own);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0; // it ended between two readings
    throw error;
  }
}

/** Like cpuSeconds, but in steps of a nanosecond; excludes threads that have ended. */
export function scheduledSeconds(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`))
    sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  return sum / 1e9;
}

export function residentBytes(pid: number): number {
  pageBytes ??= Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" }));
  return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * pageBytes;
}

/** Voluntary context switches of its threads: each is followed by a wake-up. */
export function voluntarySwitches(pid: number): { readonly all: number; readonly main: number } {
  const of = (thread: string): number =>
    Number(
      /^voluntary_ctxt_switches:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"))?.[1] ?? 0,
    );
  const all = readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + of(thread), 0);
  return { all, main: of(String(pid)) };
}

/** The fields of /proc/PID/stat behind the name, which may hold spaces and brackets. */
function afterName(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}
