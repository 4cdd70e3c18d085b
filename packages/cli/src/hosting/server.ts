import { existsSync } from "node:fs";
import {
  backUp,
  createLogger,
  migrateStore,
  parseServerConfig,
  parseStoreEnd,
  resetPassword,
  restore,
  runServer,
  type ServerConfig,
  ServerError,
  type ServerFlagValues,
  storeEndText,
  storePlaceOf,
  writeNewKeys,
} from "coder-server";
import { accountHome } from "../base/config-dir.ts";
import { dashboardFiles } from "../base/dashboard-files.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import { askHealth } from "../rest/server-health.ts";
import type { Display } from "../ui/display.ts";
import { packagedPrograms } from "./packaged-programs.ts";
import { reported } from "./reported.ts";

/**
 * Runs the control plane until it is stopped. Reports failures and returns the exit code, because the caller is in another bundle
 * and does not know this one's error classes.
 */
export async function runServerCommand(
  values: ServerFlagValues,
  verbose: boolean,
  display: Display,
  signal: AbortSignal,
): Promise<number> {
  return reported(display, signal, async () => {
    const config = parseServerConfig(verbose ? { ...values, verbose: true } : values, surroundings());
    await runServer(config, { signal, deps: { packaged: packagedPrograms(), dashboard: dashboardFiles() } });
  });
}

/** Asks the server at the address that these flags give for its health. Returns the exit code. */
export async function runHealth(values: ServerFlagValues, display: Display, signal: AbortSignal): Promise<number> {
  return reported(display, signal, async () => {
    const { http, tls } = parseServerConfig(values, surroundings());
    const target = http ?? tls?.address;
    if (target === undefined)
      throw new UserError("The server has no address to listen on", { code: "ERR_USAGE", exit: EXIT.usage });
    display.print(`${await askHealth({ secure: http === undefined, ...target }, signal)} is healthy\n`);
  });
}

/**
 * Checks whether a server could start with these flags, as far as the flags alone show. Reports what is wrong and returns the
 * exit code.
 */
export async function checkServerFlags(
  values: ServerFlagValues,
  display: Display,
  signal: AbortSignal,
): Promise<number> {
  return reported(display, signal, async () => void parseServerConfig(values, surroundings()));
}

/** Changes a password in the store of the server that uses the same flags. Returns the exit code. */
export async function runResetPassword(
  values: ServerFlagValues,
  username: string,
  password: () => Promise<string>,
  display: Display,
  signal: AbortSignal,
): Promise<number> {
  return reported(display, signal, async () => {
    await resetPassword(storePlaceOf(parseServerConfig(values, surroundings())), username, password);
    display.say(`Password has been reset for user ${username}!`);
  });
}

/** Copies the state of the server that uses the same flags to a new folder. Returns the exit code. */
export async function runBackup(
  values: ServerFlagValues,
  to: string,
  display: Display,
  signal: AbortSignal,
): Promise<number> {
  return reported(display, signal, async () => {
    const { stateDir } = filesOnly(values);
    const { files } = await backUp(stateDir, to, { now: Date.now(), signal });
    const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
    display.say(`Backed up "${stateDir}" to "${to}": ${megabytes(bytes)}`);
    display.say("TLS certificates and the server's options are not in it.");
  });
}

/** Replaces the state of the server that uses the same flags with a backup. Returns the exit code. */
export async function runRestore(
  values: ServerFlagValues,
  from: string,
  replace: boolean,
  display: Display,
  signal: AbortSignal,
): Promise<number> {
  return reported(display, signal, async () => {
    const { stateDir } = filesOnly(values);
    const { manifest, movedTo } = await restore(from, stateDir, { now: Date.now(), signal, replace });
    display.say(`Restored "${stateDir}" as it was on ${manifest.created_at}`);
    if (movedTo !== undefined)
      display.say(`What was there before is in "${movedTo}"; remove it when you no longer need it`);
    display.say("Next: start the server again");
  });
}

/** Moves a store between SQLite and PostgreSQL. Returns the exit code. */
export async function runMigrateStore(
  line: { readonly from: string; readonly to: string; readonly dryRun: boolean },
  confirmed: (question: string) => Promise<boolean>,
  display: Display,
  signal: AbortSignal,
): Promise<number> {
  return reported(display, signal, async () => {
    const { dryRun } = line;
    const [from, to] = [parseStoreEnd(line.from, "--from"), parseStoreEnd(line.to, "--to")];
    const [source, target] = [storeEndText(from), storeEndText(to)];
    if (!(await confirmed(`Move the store from ${source} to ${target}?`))) {
      display.say("Nothing was moved");
      return;
    }
    const log = createLogger({ sink: process.stderr, level: "info", format: "human" });
    const copies = await migrateStore({ from, to, dryRun, now: Date.now(), signal, log });
    for (const { table, rows, sha256 } of copies) display.say(`${table}: ${rows} rows, ${sha256.slice(0, 16)}`);
    if (dryRun) {
      display.say("All rows arrived and are equal. Nothing was kept: leave out --dry-run to move the store.");
      return;
    }
    display.say(`Moved the store from ${source} to ${target}`);
    display.say(
      "stateDir" in from ? keysToCopy(from.stateDir) : `Next: put keys.json of a server into the state directory`,
    );
  });
}

function keysToCopy(stateDir: string): string {
  return `Next: give each server this key file, with --keys-file or as keys.json in its state directory: ${stateDir}/keys.json`;
}

/** Writes a new key file. Returns the exit code. */
export async function runGenerateKeys(path: string, display: Display, signal: AbortSignal): Promise<number> {
  return reported(display, signal, async () => {
    if (existsSync(path)) {
      throw new ServerError("ERR_KEY_FILE", `"${path}" exists already`, {
        why: "a key file is never overwritten: agents would lose their tokens",
        nextSteps: ["name another file with --out"],
      });
    }
    writeNewKeys(path);
    display.say(`Wrote new keys to "${path}"`);
  });
}

/** The settings of a server whose store is a file. Throws a ServerError for a server on PostgreSQL, which has its own tools. */
function filesOnly(values: ServerFlagValues): ServerConfig {
  const config = parseServerConfig(values, surroundings());
  if (config.postgres === undefined) return config;
  throw new ServerError("ERR_BACKUP", "This deployment is in PostgreSQL, which is backed up with its own tools", {
    why: "the backup consists of a dump by pg_dump and the file keys.json",
    nextSteps: ["follow docs/operations/postgresql.md, section Backup"],
  });
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function surroundings(): { homeDir: string; stateHome: string | undefined } {
  return { homeDir: accountHome(), stateHome: process.env["XDG_STATE_HOME"] || undefined };
}
