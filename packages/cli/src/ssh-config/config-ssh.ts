/** `coder config-ssh`: reads the SSH configuration, asks, and replaces our section of it. */
import { readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { makeDirectories } from "../base/make-directories.ts";
import { type FileOwner, writeByRename } from "../base/write-by-rename.ts";
import { UserError } from "../errors/user-error.ts";
import { sectionMarkers, splitSection, withSection } from "./section.ts";

/** As Linux does. */
const MAX_LINKS = 40;

export interface SshSettings {
  readonly hostPrefix: string;
  readonly hostnameSuffix: string;
  /** As the server sent it; unchecked. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** The deployment's settings for its hosts. A stock server that does not know the request has hosts `coder.*`. */
export async function fetchSshSettings(deployment: Deployment, signal: AbortSignal): Promise<SshSettings> {
  let body: { hostname_prefix?: unknown; hostname_suffix?: unknown; ssh_config_options?: unknown };
  try {
    body = ((await deployment.call("/api/v2/deployment/ssh", { signal })) ?? {}) as typeof body;
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "ERR_NOT_FOUND") throw error;
    body = { hostname_prefix: "coder." };
  }
  const options = body.ssh_config_options;
  return {
    hostPrefix: hostPart(body.hostname_prefix, "prefix"),
    hostnameSuffix: hostPart(body.hostname_suffix, "suffix"),
    options: typeof options === "object" && options !== null ? (options as Record<string, unknown>) : {},
  };
}

function hostPart(value: unknown, kind: "prefix" | "suffix"): string {
  const text = value ?? "";
  if (typeof text === "string" && isHostPart(text)) return text;
  throw new UserError(`The deployment's host name ${kind} cannot be used: ${JSON.stringify(value)?.slice(0, 80)}`, {
    why: "it would change the meaning of the SSH configuration",
    next: [`give one with --${kind === "prefix" ? "ssh-host-prefix" : "hostname-suffix"}`, "tell the administrator"],
    code: "ERR_HOSTILE_ANSWER",
  });
}

/** Letters, digits, dots, hyphens and underscores only: no patterns, no second word, nothing that a shell interprets. */
export function isHostPart(text: string): boolean {
  return /^[A-Za-z0-9_.-]*$/.test(text) && !text.startsWith("-") && text.length <= 200;
}

/** A file that others may change while we ask. */
export interface SshConfigFile {
  /** The path as the user gave it. */
  readonly path: string;
  /** One character per byte; empty when there is no file. */
  readonly content: string;
  /** Our section; undefined when there is none. */
  readonly section: string | undefined;
  /** The file with the section replaced, or added at the end. */
  with(section: string): string;
}

/** Throws for a file that cannot be read, and for damaged sections. A missing file counts as empty. */
export function readSshConfig(path: string, name: string | undefined): SshConfigFile {
  const content = contentOf(path);
  const split = splitSection(content, sectionMarkers(name), path);
  return {
    path,
    content,
    section: split.section,
    with: (section) => withSection(split, Buffer.from(section, "utf8").toString("latin1")),
  };
}

function contentOf(path: string): string {
  try {
    // A named pipe would never end.
    if (statSync(path).isFile()) return readFileSync(path, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return "";
    throw new UserError(`Cannot read "${path}"`, { why: code, code: "ERR_SSH_CONFIG", cause: error });
  }
  throw new UserError(`Cannot read "${path}"`, { why: "it is not a regular file", code: "ERR_SSH_CONFIG" });
}

/**
 * Replaces the file atomically, so a reader sees the old one or the new one. A symbolic link stays and its target is replaced;
 * the mode and the owner stay; a new file is private. Throws a UserError when the file has changed since it was read.
 */
export function writeSshConfig(file: SshConfigFile, content: string): void {
  if (contentOf(file.path) !== file.content) {
    throw new UserError(`"${file.path}" was changed by another program meanwhile`, {
      next: ["run this again"],
      code: "ERR_SSH_CONFIG",
    });
  }
  try {
    makeDirectories(dirname(file.path));
    const target = targetOf(file.path);
    const { mode = 0o600, owner } = before(target);
    writeByRename(target, Buffer.from(content, "latin1"), { mode, owner, lasting: true });
  } catch (error) {
    throw new UserError(`Cannot write "${file.path}", it was not changed`, {
      why: (error as NodeJS.ErrnoException).code,
      code: "ERR_SSH_CONFIG",
      cause: error,
    });
  }
}

/** The end of the symbolic links, which need not exist yet. */
function targetOf(path: string): string {
  let target = path;
  for (let links = 0; links < MAX_LINKS; links++) {
    let next: string;
    try {
      next = readlinkSync(target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EINVAL" || code === "ENOENT") return target; // no link
      throw error;
    }
    // `..` behind a folder that is a link itself leads elsewhere than its text says, so the system resolves it.
    const folder = isAbsolute(next) ? dirname(next) : `${realpathSync.native(dirname(target))}/${dirname(next)}`;
    target = join(realpathSync.native(folder), basename(next));
  }
  throw Object.assign(new Error("too many symbolic links"), { code: "ELOOP" });
}

/** Mode of the file that is replaced, and its owner where root writes the file of another account. */
function before(path: string): { mode?: number; owner?: FileOwner | undefined } {
  try {
    const { mode, uid, gid } = statSync(path);
    const isForeign = process.geteuid?.() === 0 && uid !== 0;
    return { mode: mode & 0o7777, owner: isForeign ? { uid, gid } : undefined };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
}
