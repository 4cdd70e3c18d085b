/** What the SFTP server does with paths and files; paths are bytes. */
import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, readlink, realpath } from "node:fs/promises";
import { STATUS } from "./codec.ts";
import { SftpFailure } from "./failure.ts";

export const SLASH = 0x2f;
/** As Linux does. */
const MAX_LINKS = 40;

/** Opens a file without waiting for the other end of a named pipe, which would hold a thread that others need. */
export async function openFile(path: Buffer, flags: number, mode: number): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENXIO") throw error;
    throw new SftpFailure(STATUS.failure, "named pipes, sockets and devices that are not there cannot be opened");
  }
  try {
    if ((await file.stat()).isFIFO()) throw new SftpFailure(STATUS.failure, "named pipes cannot be opened");
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** @param position Undefined for a file that is open for appending. */
export async function writeAll(file: FileHandle, data: Buffer, position: number | undefined): Promise<void> {
  for (let written = 0; written < data.length; ) {
    const at = position === undefined ? null : position + written;
    written += (await file.write(data, written, data.length - written, at)).bytesWritten;
  }
}

export async function unused(path: Buffer): Promise<Buffer> {
  try {
    await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return path;
    throw error;
  }
  throw new SftpFailure(STATUS.failure, "the new name exists");
}

/** Undefined if the file cannot be examined, as in a directory without search permission or in another user's mount. */
export async function factsOf(path: Buffer): Promise<Stats | "missing" | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "missing" : undefined;
  }
}

/**
 * Absolute path without symbolic links. The last name need not exist, because uploads resolve their target first; a link to
 * nothing is resolved too.
 */
export async function realPath(path: Buffer, links = MAX_LINKS): Promise<Buffer> {
  try {
    return await realpath(path, { encoding: "buffer" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || path.at(-1) === SLASH || links === 0) throw error;
  }
  const slash = path.lastIndexOf(SLASH);
  const parent = await realpath(slash <= 0 ? Buffer.from("/") : path.subarray(0, slash), { encoding: "buffer" });
  const entry = join(parent, path.subarray(slash + 1));
  const target = await targetOf(entry);
  if (target === undefined) return entry;
  return realPath(target[0] === SLASH ? target : join(parent, target), links - 1);
}

/** Undefined when there is no link. */
async function targetOf(path: Buffer): Promise<Buffer | undefined> {
  try {
    return await readlink(path, { encoding: "buffer" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EINVAL") return undefined;
    throw error;
  }
}

export function join(directory: Buffer, entry: Buffer): Buffer {
  if (entry.length === 0) return directory;
  const separator = directory.at(-1) === SLASH ? "" : "/";
  return Buffer.concat([directory, Buffer.from(separator), entry]);
}
