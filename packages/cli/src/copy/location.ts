import { printable, printableJson } from "../base/text.ts";
import { UsageError } from "../errors/usage-error.ts";

/** One end of a copy. */
export interface Location {
  /** As typed; absent for this machine. */
  readonly workspace?: string;
  readonly path: string;
}

/**
 * `path`, or `workspace:path`; `workspace:` alone is its home directory, and so is `~` there, which no shell here expands. A
 * colon after a slash belongs to the path, as does one after a single letter on Windows.
 */
export function parseLocation(text: string, platform: NodeJS.Platform = process.platform): Location {
  if (text === "" || text.includes("\0")) throw new UsageError(`${JSON.stringify(text)} names no file`);
  const colon = text.indexOf(":");
  const slash = text.search(platform === "win32" ? /[/\\]/ : /\//);
  const isDrive = platform === "win32" && /^[A-Za-z]:([/\\]|$)/.test(text);
  if (colon <= 0 || isDrive || (slash >= 0 && slash < colon)) return { path: text };
  // OpenSSH's tools take host:path. There, a workspace with its owner is written with -- where we have a slash.
  const path = text.slice(colon + 1).replace(/^~(?:\/+|$)/, "");
  return { workspace: text.slice(0, colon), path: path || "." };
}

export interface CopyPlan {
  readonly workspace: string;
  readonly direction: "up" | "down";
  readonly sources: readonly string[];
  readonly destination: string;
}

/** What is copied, and where to. Throws UsageError. */
export function planCopy(words: readonly string[]): CopyPlan {
  if (words.length < 2) throw new UsageError("name a source and a destination: coder cp notes.txt dev:notes.txt");
  const locations = words.map((word) => parseLocation(word));
  const [sources, destination] = [locations.slice(0, -1), locations.at(-1)!];
  const remote = destination.workspace === undefined ? sources : [destination];
  const local = destination.workspace === undefined ? [destination] : sources;
  const workspaces = new Set(remote.map(({ workspace }) => workspace));
  const [workspace] = workspaces;
  if (local.some((location) => location.workspace !== undefined))
    throw new UsageError("one side of a copy is this machine: copy from a workspace to here, then to the other one");
  if (workspace === undefined || workspaces.has(undefined))
    throw new UsageError("neither side names a workspace: write workspace:path");
  if (workspaces.size > 1) throw new UsageError("the sources are in several workspaces: copy from one at a time");
  return {
    workspace,
    direction: destination.workspace === undefined ? "down" : "up",
    sources: sources.map(({ path }) => path),
    destination: destination.path,
  };
}

/** Whether a name from the other side's directory is safe: it leads to no other place. */
export function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\\\0]/.test(name) && name.length <= 255;
}

/** For messages: names from the other side may contain anything. */
export function printableName(name: string): string {
  const plain = name.isWellFormed() && printable(name) === name;
  return plain ? name : printableJson(JSON.stringify(name));
}

/**
 * Whether the path is a name of the system for something that is open, such as /dev/stdout. It may lead to a regular file, but a
 * copy would take the place of the name, for every program of the machine.
 */
export function isSystemName(path: string): boolean {
  return /^\/+(?:dev|dev\/+fd|proc\/.*)\/+[^/]+$/.test(path);
}
