/** What the SFTP server does with paths and files; paths are bytes. */
import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, realpath } from "node:fs/promises";
import { STATUS } from "./codec.ts";
import { SftpFailure } from "./failure.ts";

export const SLASH = 0x2f;

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

/** Absolute path without symbolic links; the last name need not exist, because uploads resolve their target first. */
export async function realPath(path: Buffer): Promise<Buffer> {
  try {
    return await realpath(path, { encoding: "buffer" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const trimmed = trimSlashes(path);
  const slash = trimmed.lastIndexOf(SLASH);
  const parent = slash <= 0 ? Buffer.from("/") : trimmed.subarray(0, slash);
  return join(await realpath(parent, { encoding: "buffer" }), trimmed.subarray(slash + 1));
}

function trimSlashes(path: Buffer): Buffer {
  let end = path.length;
  while (end > 1 && path[end - 1] === SLASH) end--;
  return path.subarray(0, end);
}

export function join(directory: Buffer, entry: Buffer): Buffer {
  if (entry.length === 0) return directory;
  const separator = directory.at(-1) === SLASH ? "" : "/";
  return Buffer.concat([directory, Buffer.from(separator), entry]);
}
