/** Sets attributes one after the other, the rest too where one cannot be set, and then throws the last failure, as sshd does. */
import { chmod, chown, type FileHandle, lchown, lstat, lutimes, truncate, utimes } from "node:fs/promises";
import { type Attributes, STATUS } from "./codec.ts";
import { SftpFailure } from "./failure.ts";

const PERMISSIONS = 0o7777;

export function setAttributes(path: Buffer, { size, mode, times, owner }: Attributes): Promise<void> {
  return setEach(
    size === undefined ? undefined : () => truncate(path, size),
    mode === undefined ? undefined : () => chmod(path, mode & PERMISSIONS),
    times === undefined ? undefined : () => utimes(path, times.accessed, times.modified),
    owner === undefined ? undefined : () => chown(path, owner.uid, owner.gid),
  );
}

export function setFileAttributes(file: FileHandle, { size, mode, times, owner }: Attributes): Promise<void> {
  return setEach(
    size === undefined ? undefined : () => file.truncate(size),
    mode === undefined ? undefined : () => file.chmod(mode & PERMISSIONS),
    times === undefined ? undefined : () => file.utimes(times.accessed, times.modified),
    owner === undefined ? undefined : () => file.chown(owner.uid, owner.gid),
  );
}

/** Of a link itself, which has no permissions, and no size that could be set. */
export function setLinkAttributes(path: Buffer, { size, mode, times, owner }: Attributes): Promise<void> {
  if (size !== undefined) return Promise.reject(new SftpFailure(STATUS.badMessage, "a link has no size to set"));
  return setEach(
    mode === undefined ? undefined : () => chmodUnlessLink(path, mode & PERMISSIONS),
    times === undefined ? undefined : () => lutimes(path, times.accessed, times.modified),
    owner === undefined ? undefined : () => lchown(path, owner.uid, owner.gid),
  );
}

async function chmodUnlessLink(path: Buffer, mode: number): Promise<void> {
  if ((await lstat(path)).isSymbolicLink()) throw new SftpFailure(STATUS.failure, "a link has no permissions to set");
  await chmod(path, mode);
}

async function setEach(...steps: readonly ((() => Promise<void>) | undefined)[]): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  for (const step of steps) {
    try {
      await step?.();
    } catch (error) {
      failure = { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}
