/** POST /api/v0/list-directory: directory listings for the file picker of an editor. */
import { opendir } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import type { FileTurn } from "../host/thread-shares.ts";

const MAX_ENTRIES = 10_000;
const MAX_PARTS = 256;

export interface DirectoryAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** @param body The parsed request: `{"path":["a","b"],"relativity":"root"|"home"}`. */
export async function listDirectory(body: unknown, home: string, turn: FileTurn): Promise<DirectoryAnswer> {
  const directory = directoryOf(body, home);
  if (typeof directory !== "string") return failure(400, directory.problem);
  try {
    const contents: { name: string; absolute_path_string: string; is_dir: boolean }[] = [];
    const opened = await turn([directory], () => opendir(directory));
    try {
      while (contents.length < MAX_ENTRIES) {
        const entry = await turn([directory], () => opened.read());
        if (entry === null) break;
        const { name } = entry;
        contents.push({ name, absolute_path_string: join(directory, name), is_dir: entry.isDirectory() });
      }
    } finally {
      await turn([directory], () => opened.close(), true);
    }
    contents.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    return {
      status: 200,
      body: {
        absolute_path: directory.split("/").filter((part) => part !== ""),
        absolute_path_string: directory,
        contents,
      },
    };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const status = STATUS[code];
    if (status === undefined) throw error;
    return failure(status, (error as Error).message);
  }
}

const STATUS: Readonly<Record<string, number>> = {
  ENOENT: 404,
  EACCES: 403,
  EPERM: 403,
  ENOTDIR: 400,
  ENAMETOOLONG: 400,
  ELOOP: 400,
};

function directoryOf(body: unknown, home: string): string | { problem: string } {
  if (typeof body !== "object" || body === null) return { problem: "the body is not a JSON object" };
  const { path = [], relativity = "home" } = body as { path?: unknown; relativity?: unknown };
  const parts = path ?? [];
  if (!Array.isArray(parts) || parts.length > MAX_PARTS || !parts.every((part) => typeof part === "string"))
    return { problem: `path is not a list of at most ${MAX_PARTS} names` };
  if (parts.some((part) => part.includes("\0"))) return { problem: "a name has a NUL byte" };
  if (relativity !== "root" && relativity !== "home")
    return { problem: `relativity is ${JSON.stringify(relativity)}; it takes "root" or "home"` };
  const from = relativity === "root" ? "/" : home;
  return resolve(join(isAbsolute(from) ? from : "/", ...parts));
}

function failure(status: number, message: string): DirectoryAnswer {
  return { status, body: { message } };
}
