import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Like `mkdir -p`, with mode 0700 for the directories it makes. Node's own recursive form never returns where the file system
 * answers ENOENT for a new directory in an existing one, as procfs does.
 */
export function makeDirectories(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    const parent = dirname(path);
    if (code !== "ENOENT" || parent === path || existsSync(parent)) throw error;
    makeDirectories(parent);
    makeDirectories(path);
  }
}
