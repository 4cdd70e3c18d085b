import { chmodSync, existsSync, lchownSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { offlineEvent } from "../auth/offline-audit.ts";
import { isDiskFull, nodeErrorCode, ServerError } from "../base/errors.ts";
import { newestSchemaVersion } from "../db/migrations/index.ts";
import { readServerKeys } from "../state/key-file.ts";
import { acquireStateDir, syncDirectory } from "../state/state-dir.ts";
import { checkDatabase } from "./check-database.ts";
import { BACKUP_FILES, type BackupManifest, describeFile, notABackup, readManifest } from "./manifest.ts";

/** All files of the state that is moved aside, including those that SQLite keeps beside its database. */
const OLD_FILES = ["coder.db", "coder.db-wal", "coder.db-shm", "keys.json"];
/** The files that the lock creates in the directory. */
const HELD_FILES = ["server.lock", "server.pid"];

export interface Restored {
  readonly manifest: BackupManifest;
  /** The new place of the former state; undefined if there was none. */
  readonly movedTo: string | undefined;
}

/**
 * Installs a backup as a deployment's state. The server must not be running: the directory is locked meanwhile. The backup is
 * copied and checked completely before the former state is touched; the former state is moved aside, never removed. Throws
 * ServerError, or `signal.reason`.
 * @param replace Whether a deployment that exists may be replaced.
 */
export async function restore(
  from: string,
  stateDir: string,
  options: { readonly now: number; readonly signal: AbortSignal; readonly replace: boolean },
): Promise<Restored> {
  const source = resolve(from);
  const manifest = await readManifest(source);
  if (manifest.schema_version > newestSchemaVersion()) {
    throw new ServerError("ERR_STORE_TOO_NEW", `"${source}" cannot be restored`, {
      why: `release ${manifest.release} wrote it, and this is an older one`,
      nextSteps: [`install release ${manifest.release} or later, then restore with that`],
    });
  }
  const held = acquireStateDir(stateDir);
  const incoming = join(held.path, "restoring");
  try {
    const occupied = OLD_FILES.filter((name) => existsSync(join(held.path, name)));
    if (occupied.length > 0 && !options.replace) {
      throw new ServerError("ERR_STATE_DIR", `There is a deployment in "${held.path}" already`, {
        why: "restoring would replace it",
        nextSteps: ["give --replace, which moves it aside first", "or choose another directory with --state-dir"],
      });
    }
    rmSync(incoming, { recursive: true, force: true });
    mkdirSync(incoming, { mode: 0o700 });
    await copyChecked(source, incoming, manifest, options.signal);
    recordRestored(join(incoming, "coder.db"), source, manifest, options.now);
    const movedTo = occupied.length === 0 ? undefined : moveAside(held.path, occupied, options.now);
    for (const name of BACKUP_FILES) renameSync(join(incoming, name), join(held.path, name));
    giveToOwner(held.path, [...BACKUP_FILES, ...HELD_FILES, ...(movedTo === undefined ? [] : [basename(movedTo)])]);
    syncDirectory(held.path);
    return { manifest, movedTo };
  } catch (error) {
    if (error instanceof ServerError || options.signal.aborted) throw error;
    throw new ServerError("ERR_BACKUP", `"${source}" was not restored`, {
      why: isDiskFull(error) ? "the disk is full" : `${nodeErrorCode(error) ?? String(error)}`,
      nextSteps: [`make "${held.path}" writable for this user, with room for the whole database`],
      cause: error,
    });
  } finally {
    rmSync(incoming, { recursive: true, force: true });
    held.release();
  }
}

/** Stores an event that the server writes to its audit at its next start. */
function recordRestored(path: string, source: string, manifest: BackupManifest, now: number): void {
  const facts = { from: source, backup_created_at: manifest.created_at, release: manifest.release };
  const { key, value } = offlineEvent({ action: "state-restored", facts }, now);
  const database = new DatabaseSync(path);
  try {
    database.prepare("INSERT INTO settings (key, value) VALUES (?, ?)").run(key, value);
  } finally {
    database.close();
  }
}

async function copyChecked(
  source: string,
  incoming: string,
  manifest: BackupManifest,
  signal: AbortSignal,
): Promise<void> {
  for (const name of BACKUP_FILES) {
    const copy = join(incoming, name);
    try {
      await copyFile(join(source, name), copy);
    } catch (error) {
      if (nodeErrorCode(error) === "ENOENT") throw notABackup(source, `its ${name} is missing`, error);
      throw error;
    }
    chmodSync(copy, 0o600);
    const found = await describeFile(copy);
    if (found.sha256 !== manifest.files[name].sha256)
      throw notABackup(source, `its ${name} is not what was backed up: ${found.bytes} bytes with another hash`);
    signal.throwIfAborted();
  }
  const facts = checkDatabase(join(incoming, "coder.db"));
  if (typeof facts === "string") throw notABackup(source, facts);
  if (readServerKeys(join(incoming, "keys.json")).fingerprint !== facts.keyFingerprint)
    throw notABackup(source, "its key file does not belong to its database");
}

/** Root may run this for a service that has its own account, and that account must be able to read the files. */
function giveToOwner(stateDir: string, names: readonly string[]): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(stateDir);
  // Links are never followed: the service's account may write in this directory.
  for (const name of names) lchownSync(join(stateDir, name), uid, gid);
}

/**
 * Moves the former state into a new folder.
 * @returns the folder.
 */
function moveAside(stateDir: string, names: readonly string[], now: number): string {
  const folder = join(stateDir, `before-restore-${new Date(now).toISOString().replaceAll(":", "-")}`);
  mkdirSync(folder, { mode: 0o700 });
  for (const name of names) renameSync(join(stateDir, name), join(folder, name));
  return folder;
}
