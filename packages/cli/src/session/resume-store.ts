/**
 * Shells that outlive the `coder ssh --resume` they were opened by. Each is an empty file in the configuration folder,
 * named by agent, shell and the process that shows it; the process that renames it to its own id owns it.
 */
import { readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeDirectories } from "../base/make-directories.ts";

/** As long as an agent keeps a shell without viewers. */
export const KEEP_MS = 72 * 3_600_000;
const NAME = /^([0-9a-f-]{36})\.([0-9a-f-]{36})\.([0-9]+)$/;

export interface KeptShell {
  readonly id: string;
  /** When somebody was last seen looking at it, in ms since 1970. */
  readonly seenAt: number;
  /** Others of the same agent that wait to be resumed. */
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

  /** The shell that was left last and that no process shows; undefined when there is none. It is ours then. */
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

  /** Remembers a new shell as ours. */
  add(id: string): void {
    makeDirectories(this.#folder);
    writeFileSync(this.#path(id), "", { mode: 0o600 });
  }

  /** Says that somebody looks at it now. */
  touch(id: string, now = Date.now()): void {
    utimesSync(this.#path(id), now / 1000, now / 1000);
  }

  /** The shell has ended. */
  remove(id: string): void {
    rmSync(this.#path(id), { force: true });
  }

  #path(id: string): string {
    return join(this.#folder, `${this.#agentId}.${id}.${process.pid}`);
  }

  /** The one left last comes first. Those that no agent keeps any more are removed. */
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
