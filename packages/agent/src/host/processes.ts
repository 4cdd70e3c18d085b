/** The kernel sessions that this service started. Every program leads one, so that signals reach its children too. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "wg-userspace/base/ports";

const POLL_MS = 20;
/** SIGKILL takes effect at once, but zombies remain until the process that inherited them waits for them. */
const KILL_WAIT_MS = 1_000;

export class ProcessSessions {
  readonly #logger: Logger;
  /** Live leaders, and ended ones whose group still has members. */
  readonly #leaders = new Set<number>();
  readonly #survived = new Set<number>();
  readonly #terminating = new Set<Promise<void>>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(leader: number): void {
    this.#leaders.add(leader);
    this.#survived.delete(leader);
  }

  /** The leader ended; background jobs of its group remain ours to end with the agent. */
  ended(leader: number): void {
    if (!this.#leaders.delete(leader)) return;
    for (const survived of this.#survived) if (!isOurs(survived)) this.#survived.delete(survived);
    if (isOurs(leader)) this.#survived.add(leader);
  }

  /** Signals the leader's process group; does nothing when it is gone. */
  signal(leader: number, signal: NodeJS.Signals): void {
    if (this.#leaders.has(leader)) this.#send(-leader, signal);
  }

  /** Hangs up on the leader's group and the terminal's foreground job, and kills what is left of them after the grace. */
  hangUp(leader: number, graceMs: number): void {
    if (!this.#leaders.has(leader)) return;
    const groups = [leader, ...foregroundGroup(leader)];
    const work = this.#terminate(() => groups.filter((group) => exists(-group)).map((group) => -group), graceMs);
    this.#terminating.add(work);
    void work.finally(() => this.#terminating.delete(work));
  }

  /** Ends everything started here, background jobs included, except programs that created a session of their own. */
  async terminateAll(graceMs: number): Promise<void> {
    await this.#terminate(() => this.#members(), graceMs);
    await Promise.all(this.#terminating);
  }

  async #terminate(targets: () => readonly number[], graceMs: number): Promise<void> {
    const first = targets();
    for (const target of first) {
      this.#send(target, "SIGHUP");
      this.#send(target, "SIGCONT"); // a stopped job cannot act on the hang-up
    }
    if (first.length === 0 || (await this.#gone(targets, graceMs))) return;
    const left = targets();
    this.#logger.log("info", "programs outlived the hang-up, killing them", { count: left.length });
    const kill = (): readonly number[] => {
      const remaining = targets();
      for (const target of remaining) this.#send(target, "SIGKILL");
      return remaining;
    };
    if (!(await this.#gone(kill, KILL_WAIT_MS))) {
      this.#logger.log("warn", "programs could not be killed", { count: targets().length });
    }
  }

  async #gone(targets: () => readonly number[], withinMs: number): Promise<boolean> {
    for (let waited = 0; ; waited += POLL_MS) {
      if (targets().length === 0) return true;
      if (waited >= withinMs) return false;
      await sleep(POLL_MS);
    }
  }

  /** Process ids of our sessions where /proc has them, otherwise process groups (negative). */
  #members(): readonly number[] {
    const sessions = new Set([...this.#leaders, ...[...this.#survived].filter(isOurs)]);
    if (sessions.size === 0) return [];
    const table = processTable();
    if (table === undefined) return [...sessions].filter((leader) => exists(-leader)).map((leader) => -leader);
    return table.filter((entry) => sessions.has(entry.session) && entry.state !== "Z").map((entry) => entry.pid);
  }

  #send(target: number, signal: NodeJS.Signals): void {
    try {
      process.kill(target, signal);
    } catch (error) {
      // ESRCH: it ended first. EPERM: it changed its user, as sudo does; the kernel's own hang-up still reaches it.
      this.#logger.log("debug", "signal not delivered", { signal, error: String(error) });
    }
  }
}

/** An ended leader's number stays ours while its group lives; a live process with that very id is an unrelated one. */
function isOurs(endedLeader: number): boolean {
  return exists(-endedLeader) && !exists(endedLeader);
}

function exists(target: number): boolean {
  try {
    process.kill(target, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

interface ProcessEntry {
  readonly pid: number;
  readonly state: string;
  readonly session: number;
  readonly foreground: number;
}

function processTable(): readonly ProcessEntry[] | undefined {
  if (process.platform !== "linux") return undefined;
  const names = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return names.map((name) => processEntry(Number(name))).filter((entry) => entry !== undefined);
}

/** proc(5): pid (comm) state ppid pgrp session tty tpgid …; comm may contain anything, so fields count from the last ")". */
function processEntry(pid: number): ProcessEntry | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { pid, state: fields[0] ?? "", session: Number(fields[3]), foreground: Number(fields[5]) };
  } catch {
    return undefined; // ended after it was listed
  }
}

function foregroundGroup(leader: number): readonly number[] {
  if (process.platform !== "linux") return [];
  const group = processEntry(leader)?.foreground ?? -1;
  return group > 1 && group !== leader ? [group] : [];
}
