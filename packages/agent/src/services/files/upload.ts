/** Receives a file, which appears under its name only when it is complete. */
import { createHash, randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { chmod, type FileHandle, link, lstat, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { FileTurn } from "../../host/thread-shares.ts";
import { FileFailure } from "./failure.ts";

export interface UploadResult {
  readonly path: string;
  readonly size: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

export interface UploadOptions {
  readonly overwrite: boolean;
  /** Called after each written piece. */
  readonly onProgress: () => void;
  readonly turn: FileTurn;
}

type Turn = <T>(operation: () => Promise<T>, always?: boolean) => Promise<T>;

const MODE = 0o644;
/** Bytes of the name that are kept, so that the name of the incomplete file is not too long. */
const KEPT_NAME_BYTES = 100;

/**
 * Receives a file. One that replaces another gets its permissions.
 * @param target Absolute path.
 * @throws {@link FileFailure}, or the error of the file system or the body; the incomplete file is removed first.
 */
export async function receiveFile(
  body: AsyncIterable<Uint8Array>,
  target: string,
  { overwrite, onProgress, turn }: UploadOptions,
): Promise<UploadResult> {
  const inTurn: Turn = (operation, always) => turn([target], operation, always);
  const replaced = await inTurn(() => refuseExisting(target, overwrite));
  const kept = replaced?.isFile() === true ? replaced.mode & 0o777 : undefined;
  const part = join(dirname(target), `.${shortened(basename(target))}.part-${randomBytes(6).toString("hex")}`);
  const file = await inTurn(() => open(part, "wx", kept ?? MODE));
  try {
    const received = await writeAll(file, body, onProgress, inTurn);
    await inTurn(async () => {
      if (kept !== undefined) await chmod(part, kept); // the umask may have removed permissions
      if (overwrite) await rename(part, target);
      else await moveToFree(part, target);
    });
    return { path: target, ...received };
  } catch (error) {
    await inTurn(() => unlink(part), true).catch(() => undefined); // the first error is the one to report
    throw error;
  }
}

async function writeAll(
  file: FileHandle,
  body: AsyncIterable<Uint8Array>,
  onProgress: () => void,
  inTurn: Turn,
): Promise<{ size: number; sha256: string }> {
  const hash = createHash("sha256");
  let size = 0;
  try {
    for await (const piece of body) {
      hash.update(piece);
      for (let at = 0; at < piece.length; ) at += (await inTurn(() => file.write(piece, at))).bytesWritten;
      size += piece.length;
      onProgress();
    }
  } finally {
    await inTurn(() => file.close(), true);
  }
  return { size, sha256: hash.digest("hex") };
}

/** @returns The existing file that may be replaced, if there is one. */
async function refuseExisting(target: string, overwrite: boolean): Promise<Stats | undefined> {
  const existing = await lstat(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (existing?.isDirectory() === true) throw new FileFailure(409, "A directory has that name.");
  if (existing !== undefined && !overwrite) throw new FileFailure(409, "A file of that name exists.");
  return existing;
}

/** Creates a hard link, which fails if the file has appeared in the meantime; a rename would replace it. */
async function moveToFree(part: string, target: string): Promise<void> {
  try {
    await link(part, target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // File systems without hard links, such as FAT.
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS") throw error;
    await refuseExisting(target, false);
    await rename(part, target);
    return;
  }
  await unlink(part);
}

function shortened(name: string): string {
  return Buffer.from(name)
    .subarray(0, KEPT_NAME_BYTES)
    .toString("utf8")
    .replace(/\ufffd+$/, "");
}
