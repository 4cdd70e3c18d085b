/** `coder config-ssh`: reads the SSH configuration, asks, and replaces our section of it. */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { makeDirectories } from "../base/make-directories.ts";
import { UserError } from "../errors/user-error.ts";
import { sectionMarkers, splitSection, withSection } from "./section.ts";

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
    return readFileSync(path, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return "";
    throw new UserError(`Cannot read "${path}"`, { why: code, code: "ERR_SSH_CONFIG", cause: error });
  }
}

/**
 * Replaces the file atomically, so a reader sees the old one or the new one. A symbolic link stays and its target is replaced;
 * the mode stays; a new file is private. Throws a UserError when the file has changed since it was read.
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
    const temporary = join(dirname(target), `.coder-config-ssh.${process.pid}.tmp`);
    rmSync(temporary, { force: true });
    const mode = modeOf(target);
    const descriptor = openSync(temporary, "wx", 0o600);
    try {
      writeSync(descriptor, Buffer.from(content, "latin1"));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    try {
      if (mode !== undefined) chmodSync(temporary, mode);
      renameSync(temporary, target);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  } catch (error) {
    throw new UserError(`Cannot write "${file.path}", it was not changed`, {
      why: (error as NodeJS.ErrnoException).code,
      code: "ERR_SSH_CONFIG",
      cause: error,
    });
  }
}

function targetOf(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return path;
    throw error;
  }
}

function modeOf(path: string): number | undefined {
  try {
    return statSync(path).mode & 0o7777;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
