import { closeSync, fchmodSync, fchownSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** An account that a file belongs to. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface RenamedFile {
  /** The mode of the new file, regardless of the umask. */
  readonly mode: number;
  /** By default the account that runs this command. */
  readonly owner?: FileOwner | undefined;
  /** Whether to flush the disk, so that a crash of the machine leaves the old or the new content. */
  readonly lasting: boolean;
}

/**
 * Replaces the file at `path`, or creates it: readers see the whole old content or the whole new one. On failure, such as a
 * full disk, the old file stays and nothing is left beside it. The folder must exist. Throws system errors.
 */
export function writeByRename(path: string, content: string | Uint8Array, { mode, owner, lasting }: RenamedFile): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  rmSync(temporary, { force: true });
  try {
    const file = openSync(temporary, "wx", mode & 0o600);
    try {
      writeFileSync(file, content); // unlike writeSync, it continues after a partial write
      // Applied to the open file, because in a folder of another account its name may lead elsewhere by now.
      if (owner !== undefined) fchownSync(file, owner.uid, owner.gid);
      fchmodSync(file, mode);
      if (lasting) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
