/** Archives whose bytes depend only on their content. */
import {
  chmodSync,
  copyFileSync,
  createReadStream,
  createWriteStream,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Entry } from "./contents.ts";
import { run } from "./run.ts";

/** Puts the files into a folder, which is created from scratch. */
export function stage(folder: string, entries: readonly Entry[]): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const { path, mode, content } of entries) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    if ("file" in content) copyFileSync(content.file, target);
    else writeFileSync(target, content);
    chmodSync(target, mode);
  }
}

/** Packs everything in the folder with GNU tar. @param owner Number of user and group. */
export async function tar(
  folder: string,
  names: readonly string[],
  file: string,
  date: number,
  owner = 0,
): Promise<void> {
  const same = ["--format=ustar", "--sort=name", "--numeric-owner", `--mtime=@${date}`];
  await run("tar", ["-C", folder, ...same, `--owner=${owner}`, `--group=${owner}`, "-cf", file, ...names]);
}

export async function gzip(from: string, to: string): Promise<void> {
  await pipeline(createReadStream(from), createGzip({ level: 6 }), createWriteStream(to));
}

/** @param packages Folder of the library. */
export async function zip(entries: readonly Entry[], file: string, date: number, packages: string): Promise<undefined> {
  const { ZipFile } = createRequire(join(packages, "..", "package.json"))("yazl") as typeof import("yazl");
  const archive = new ZipFile();
  // The format stores local time, so these digits must be the same in every time zone.
  const utc = new Date(date * 1000);
  const mtime = new Date(utc.getUTCFullYear(), utc.getUTCMonth(), utc.getUTCDate(), utc.getUTCHours());
  for (const { path, mode, content } of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const data = "file" in content ? readFileSync(content.file) : content;
    archive.addBuffer(data, path, { mtime, mode: 0o100000 | mode, forceDosTimestamp: true });
  }
  archive.end();
  await pipeline(archive.outputStream, createWriteStream(file));
}
