import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, copyFileSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isDiskFull, nodeErrorCode, ServerError } from "../base/errors.ts";
import { BUILD_VERSION } from "../base/version.ts";
import { readServerKeys } from "../state/key-file.ts";
import { syncDirectory, writePrivateFile } from "../state/state-dir.ts";
import { checkDatabase } from "./check-database.ts";
import { type BackupManifest, describeFile, MANIFEST } from "./manifest.ts";

/** How long to wait while another process is writing to the database. */
const BUSY_MS = 10_000;

/**
 * Copies a deployment's database and keys, as they are at one moment, into a new folder, whether its server is running or not.
 * The copy is read back before it is accepted: the folder appears complete or not at all. Throws ServerError, or `signal.reason`.
 * @param to Must not exist, or be empty.
 */
export async function backUp(
  stateDir: string,
  to: string,
  options: { readonly now: number; readonly signal: AbortSignal },
): Promise<BackupManifest> {
  const source = join(stateDir, "coder.db");
  const keys = join(stateDir, "keys.json");
  const missing = [source, keys].find((path) => !existsSync(path));
  if (missing !== undefined) {
    throw new ServerError("ERR_STATE_DIR", `There is no deployment in "${stateDir}"`, {
      why: `it holds no ${basename(missing)}`,
      nextSteps: ["run this on the server's machine as its user, with the server's own --state-dir"],
    });
  }
  const target = resolve(to);
  refuseFilled(target);
  const partial = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString("hex")}`);
  try {
    mkdirSync(dirname(target), { recursive: true });
    mkdirSync(partial, { mode: 0o700 });
    copyDatabase(source, join(partial, "coder.db"));
    options.signal.throwIfAborted();
    copyFileSync(keys, join(partial, "keys.json"));
    const facts = checkDatabase(join(partial, "coder.db"));
    if (typeof facts === "string") {
      throw new ServerError("ERR_STORE_DAMAGED", `The database "${source}" was not backed up`, {
        why: facts,
        nextSteps: ["keep your earlier backups, and restore the newest of them"],
      });
    }
    if (readServerKeys(join(partial, "keys.json")).fingerprint !== facts.keyFingerprint) {
      throw new ServerError("ERR_KEY_FILE", `"${stateDir}" was not backed up`, {
        why: "its key file does not belong to its database",
      });
    }
    options.signal.throwIfAborted();
    const manifest: BackupManifest = {
      format: 1,
      created_at: new Date(options.now).toISOString(),
      release: BUILD_VERSION,
      schema_version: facts.schemaVersion,
      deployment_id: facts.deploymentId,
      files: {
        "coder.db": await describeFile(flushed(join(partial, "coder.db"))),
        "keys.json": await describeFile(flushed(join(partial, "keys.json"))),
      },
    };
    options.signal.throwIfAborted();
    writePrivateFile(partial, MANIFEST, `${JSON.stringify(manifest, undefined, 2)}\n`);
    if (existsSync(target)) await rmdir(target);
    await rename(partial, target);
    syncDirectory(dirname(target));
    return manifest;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    if (error instanceof ServerError || options.signal.aborted) throw error;
    throw new ServerError("ERR_BACKUP", `The backup "${target}" was not written`, {
      why: isDiskFull(error) ? "the disk is full" : `${nodeErrorCode(error) ?? String(error)}`,
      nextSteps: ["choose a folder this user may write to, with room for the whole database"],
      cause: error,
    });
  }
}

function refuseFilled(target: string): void {
  let names: string[];
  try {
    names = readdirSync(target);
  } catch (error) {
    if (nodeErrorCode(error) === "ENOENT") return;
    throw new ServerError("ERR_BACKUP", `"${target}" cannot hold a backup`, {
      why: nodeErrorCode(error) === "ENOTDIR" ? "it is a file" : `${nodeErrorCode(error)}`,
      nextSteps: ["name a folder that does not exist yet"],
      cause: error,
    });
  }
  if (names.length === 0) return;
  throw new ServerError("ERR_BACKUP", `"${target}" is not empty`, {
    why: "a backup never replaces anything",
    nextSteps: ["name a folder that does not exist yet, for example one with the date in its name"],
  });
}

/** Copies the database as one reader sees it: writers continue meanwhile, and every transaction is copied whole or not at all. */
function copyDatabase(source: string, target: string): void {
  const database = new DatabaseSync(source, { timeout: BUSY_MS });
  try {
    database.prepare("VACUUM INTO ?").run(target);
  } finally {
    database.close();
  }
  chmodSync(target, 0o600);
}

/**
 * Writes the file through to the disk.
 * @returns the same path.
 */
function flushed(path: string): string {
  const file = openSync(path, "r+");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return path;
}
