/** A refusal with the status of its answer. */
export class FileFailure extends Error {
  override readonly name = "FileFailure";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const STATUS: Readonly<Record<string, readonly [number, string]>> = {
  EEXIST: [409, "A file of that name exists."],
  EISDIR: [409, "A directory has that name."],
  ENOTEMPTY: [409, "A directory has that name."],
  ENOENT: [404, "There is no such file or directory."],
  ENOTDIR: [404, "A part of the path is not a directory."],
  EACCES: [403, "The workspace's user may not do that there."],
  EPERM: [403, "The workspace's user may not do that there."],
  EROFS: [403, "The file system is read-only."],
  ENAMETOOLONG: [400, "The name is too long."],
  ENXIO: [400, "This is not a regular file."],
  ELOOP: [400, "The path has too many symbolic links."],
  ENOSPC: [507, "The workspace's disk is full."],
  EDQUOT: [507, "The disk quota of the workspace's user is used up."],
  EFBIG: [507, "The file is too large for the workspace's file system."],
};

/** The response to the client for a file system error; undefined for any other error. */
export function fileFailure(error: unknown): FileFailure | undefined {
  if (error instanceof FileFailure) return error;
  const known = STATUS[(error as NodeJS.ErrnoException)?.code ?? ""];
  return known === undefined ? undefined : new FileFailure(...known);
}
