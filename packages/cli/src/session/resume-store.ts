/**
 * Shells that outlive the `coder ssh --resume` that opened them. Each is an empty file in the configuration folder, named by
 * agent, shell and attached process. A process takes a shell over by renaming its file to its own process id.
 */
import { readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeDirectories } from "../base/make-directories.ts";

/** How long an agent keeps a shell without viewers. */
export const KEEP_MS = 72 * 3_600_000;
const NAME = /^([0-9a-f-]{36})\.([0-9a-f-]{36})\.([0-9]+)$/;

export interface KeptShell {
  readonly id: string;
  /** When a process was last attached to it, in ms since 1970. */
  readonly seenAt: number;
  /** How many other shells of the same agent can be resumed. */
  readonly more: number;
}

export class ResumeStore {
  readonly #folder: string;
  readonly #agentId: string;
  readonly #isAlive: (pid: number) => boolean;

  constructor(configDir: string, agentId: string, isAlive: (pid: number) => boolean = processIsAlive) {
    this.#folder = join(configDir, "resume");
    this.#agentId = agentId;
    this.#isAlive = isAlive;
  }

  /** Takes over the shell that was left last and has no attached process; undefined when there is none. */
  claim(now = Date.now()): KeptShell | undefined {
    const left = this.#abandoned(now);
    for (const [index, { name, id, seenAt }] of left.entries()) {
      try {
        renameSync(join(this.#folder, name), this.#path(id));
        return { id, seenAt, more: left.length - index - 1 };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // another process was quicker
      }
    }
    return undefined;
  }

  /** Records a new shell as attached to this process. */
  add(id: string): void {
    makeDirectories(this.#folder);
    writeFileSync(this.#path(id), "", { mode: 0o600 });
  }

  /** Records that the shell is attached now. */
  touch(id: string, now = Date.now()): void {
    utimesSync(this.#path(id), now / 1000, now / 1000);
  }

  /** Removes a shell that has ended. */
  remove(id: string): void {
    rmSync(this.#path(id), { force: true });
  }

  #path(id: string): string {
    return join(this.#folder, `${this.#agentId}.${id}.${process.pid}`);
  }

  /** Shells without an attached process, the one left last first. Removes those that the agent no longer keeps. */
  #abandoned(now: number): { name: string; id: string; seenAt: number }[] {
    const found: { name: string; id: string; seenAt: number }[] = [];
    for (const name of this.#names()) {
      const match = NAME.exec(name);
      if (match === null || this.#isAlive(Number(match[3]))) continue;
      const path = join(this.#folder, name);
      const seenAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
      if (seenAt === undefined) continue;
      if (now - seenAt > KEEP_MS) rmSync(path, { force: true });
      else if (match[1] === this.#agentId) found.push({ name, id: match[2]!, seenAt });
    }
    return found.sort((a, b) => b.seenAt - a.seenAt);
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }
}

function processIsAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
