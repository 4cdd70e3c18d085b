import { chmodSync, readFileSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { makeDirectories } from "./make-directories.ts";
import { writeByRename } from "./write-by-rename.ts";

/**
 * Files of the stored login. Each holds one bare value. The first three are shared with a stock CLI; the others hold the paths of
 * the files used for TLS to this deployment.
 */
export type ConfigFile = "url" | "session" | "organization" | "ca-file" | "client-cert" | "client-key";

/** The folder of stored logins, where a stock CLI keeps it. */
export function defaultConfigDir(environment: NodeJS.ProcessEnv, platform: NodeJS.Platform = process.platform): string {
  const home = environment["HOME"] ?? accountHome();
  if (platform === "darwin") return join(home, "Library", "Application Support", "coderv2");
  if (platform === "win32") return join(environment["APPDATA"] ?? join(home, "AppData", "Roaming"), "coderv2");
  const base = environment["XDG_CONFIG_HOME"];
  return join(base !== undefined && base !== "" ? base : join(home, ".config"), "coderv2");
}

/** A uid without an account has no home. Its files then go below the root folder, and the failed write says why. */
export function accountHome(): string {
  try {
    return homedir();
  } catch {
    return "/";
  }
}

/** The trimmed value; undefined when the file is missing or empty. Other errors are thrown. */
export function readConfig(dir: string, file: ConfigFile): string | undefined {
  try {
    const text = readFileSync(join(dir, file), "utf8").trim();
    return text === "" ? undefined : text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Writes by rename, private from the first byte: folder 0700, file 0600; wider modes are narrowed. A folder of another account,
 * such as the root of a container's volume, keeps its mode.
 */
export function writeConfig(dir: string, file: ConfigFile, value: string): void {
  makeDirectories(dir);
  const { mode, uid } = statSync(dir);
  const own = process.geteuid === undefined || uid === process.geteuid();
  if (own && (mode & 0o077) !== 0) chmodSync(dir, 0o700);
  writeByRename(join(dir, file), value, { mode: 0o600, lasting: true });
}

export function removeConfig(dir: string, file: ConfigFile): void {
  rmSync(join(dir, file), { force: true });
}
