import { userInfo } from "node:os";
import { basename } from "node:path";
import { isExecutable } from "../os/executable.ts";

/** The account of all sessions: always the user of the agent itself, whatever name the client gave. */
export interface SessionUser {
  readonly name: string;
  readonly shell: string;
  readonly home: string;
  readonly uid: number;
}

/** Name and uid from the system, home from $HOME, shell from the passwd entry; containers may lack the entry. */
export function resolveUser(): SessionUser {
  const environment = process.env;
  const entry = passwdEntry();
  const uid = entry?.uid ?? process.getuid?.() ?? -1;
  return {
    name: entry?.name ?? environment["USER"] ?? environment["LOGNAME"] ?? String(uid),
    shell: shellOf(entry?.shell, environment),
    home: homeDirectory(environment),
    uid,
  };
}

/** $HOME, or the home directory of the passwd entry, or the root: a uid without an entry may have neither. */
export function homeDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  return environment["HOME"] || passwdEntry()?.home || "/";
}

/** An entry with an empty field means /bin/sh (passwd(5)). */
export function shellOf(entry: string | null | undefined, environment: NodeJS.ProcessEnv): string {
  const candidates = [entry === "" ? "/bin/sh" : entry, environment["SHELL"], "/bin/bash"];
  return candidates.find(isUsableShell) ?? "/bin/sh";
}

function isUsableShell(path: string | null | undefined): path is string {
  if (path === undefined || path === null || path === "") return false;
  return !REFUSING_SHELLS.has(basename(path)) && isExecutable(path);
}

/** Shells of service accounts are not used, because a client that reaches this agent is meant to log in. */
const REFUSING_SHELLS = new Set(["nologin", "false"]);

function passwdEntry(): { name: string; shell: string | null; home: string; uid: number } | undefined {
  try {
    const info = userInfo();
    return { name: info.username, shell: info.shell, home: info.homedir, uid: info.uid };
  } catch {
    return undefined; // the uid has no passwd entry
  }
}
