import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isDiskFull, nodeErrorCode, ServerError } from "../base/errors.ts";
import { narrowOwn } from "../base/private-mode.ts";

/**
 * The directory that holds everything the server must keep: coder.db, keys.json, server.lock. It is owned by one process at a
 * time. With PostgreSQL it holds only keys.json, and several processes may use it.
 */
export interface StateDir {
  readonly path: string;
  readonly databasePath: string;
  readonly keysPath: string;
  /** Why other users can access it although it could not be narrowed; undefined if they cannot. */
  readonly exposure: string | undefined;
  /** Releases the directory. Safe to call twice. */
  release(): void;
}

/**
 * Creates the directory (mode 0700) and locks it. A directory of another account, such as the root of a container's volume, is
 * used as it is if this process may write to it. Throws ServerError ERR_STATE_DIR or ERR_STATE_DIR_IN_USE.
 * @param use "shared": it contains no database, and other servers may use it at the same time.
 */
export function acquireStateDir(path: string, use: "exclusive" | "shared" = "exclusive"): StateDir {
  let found: Stats;
  try {
    makeDirectories(path);
    // Narrows an existing directory with a wider mode, or one created under a permissive umask.
    found = narrowOwn(path, 0o700);
    // Without a lock, nothing else would reveal that this user may not write here.
    if (use === "shared") rmdirSync(mkdtempSync(join(path, ".try-")));
  } catch (error) {
    throw unusable(path, error);
  }
  const lock = use === "exclusive" ? takeLock(path) : undefined;
  return {
    path,
    databasePath: join(path, "coder.db"),
    keysPath: join(path, "keys.json"),
    exposure: exposureOf(found),
    release: () => {
      if (lock?.isOpen) lock.close();
    },
  };
}

/** The files in the directory are private to their owner; the directory's mode decides who may list and replace them. */
function exposureOf({ mode, uid }: Stats): string | undefined {
  if (process.geteuid === undefined) return undefined;
  if (uid !== process.geteuid() && uid !== 0)
    return `it belongs to another user (${uid}), who may replace what is in it`;
  if ((mode & 0o002) !== 0) return "every user of this machine may replace what is in it";
  return (mode & 0o005) === 0 ? undefined : "every user of this machine may list what is in it";
}

/**
 * Like mkdir -p. Node's own recursive form never returns on a file system that answers ENOENT for a new directory in an existing
 * one, as procfs does.
 */
function makeDirectories(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const code = nodeErrorCode(error);
    if (code === "EEXIST") return;
    const parent = dirname(path);
    if (code !== "ENOENT" || parent === path || existsSync(parent)) throw error;
    makeDirectories(parent);
    mkdirSync(path, { mode: 0o700 });
  }
}

/**
 * The lock is an exclusive transaction on a small SQLite file, held until the process ends. The operating system releases it with
 * the process, so kill -9 leaves no stale lock, and it works on every platform that Node supports.
 */
function takeLock(path: string): DatabaseSync {
  let lock: DatabaseSync | undefined;
  try {
    const lockPath = join(path, "server.lock");
    closeSync(openSync(lockPath, "a", 0o600));
    narrowOwn(lockPath, 0o600);
    lock = new DatabaseSync(lockPath, { timeout: 0 });
    lock.exec("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
  } catch (error) {
    if (lock?.isOpen) lock.close();
    const text = error instanceof Error ? error.message : "";
    if (!text.includes("locked")) throw unusable(path, error);
    throw new ServerError("ERR_STATE_DIR_IN_USE", `The state directory "${path}" is in use`, {
      why: `another coder server${pidOf(path)} holds it`,
      nextSteps: ["stop that server, or choose another directory with --state-dir"],
      cause: error,
    });
  }
  try {
    writeFileSync(join(path, "server.pid"), `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    lock.close();
    throw unusable(path, error);
  }
  return lock;
}

function pidOf(path: string): string {
  try {
    return ` (process ${readFileSync(join(path, "server.pid"), "utf8").trim()})`;
  } catch {
    // The other process has the lock but has not written its process id yet, so the message omits it.
    return "";
  }
}

function unusable(path: string, cause: unknown): ServerError {
  const code = nodeErrorCode(cause);
  if (isDiskFull(cause)) {
    return new ServerError("ERR_STATE_DIR", `Cannot use the state directory "${path}"`, {
      why: "the disk is full",
      nextSteps: ["make room on that disk, then start again"],
      cause,
    });
  }
  return new ServerError("ERR_STATE_DIR", `Cannot use the state directory "${path}"`, {
    why:
      code === "EACCES" || code === "EPERM" || code === "EROFS"
        ? "it is not writable for this user"
        : `${code ?? "it cannot be opened"}`,
    nextSteps: ["choose a directory this user may write to with --state-dir"],
    cause,
  });
}

/** Writes a 0600 file that is complete or absent after a crash: temporary file, flush, rename, flush of the directory. */
export function writePrivateFile(directory: string, name: string, content: string): void {
  const temporary = join(directory, `.${name}.${randomBytes(6).toString("hex")}`);
  const file = openSync(temporary, "wx", 0o600);
  try {
    try {
      writeFileSync(file, content); // unlike writeSync, it goes on after a part
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, join(directory, name));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(directory);
}

/** Makes renames within the directory durable. */
export function syncDirectory(directory: string): void {
  // Windows cannot open a directory; there a rename is already durable through the journal.
  if (process.platform === "win32") return;
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
