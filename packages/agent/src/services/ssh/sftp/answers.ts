/** The answers of the SFTP server. */
import type { StatsFs } from "node:fs";
import {
  encodeAttributes,
  encodeFields,
  encodeMode,
  encodePacket,
  type FileFacts,
  RESPONSE,
  STATUS,
  type Status,
} from "./codec.ts";
import { SftpFailure } from "./failure.ts";

const VERSION = 3;
/** The longest file name; Node does not expose the real limit. */
const NAME_MAX = 255;
const EXTENSIONS: readonly (readonly [string, string])[] = [
  ["posix-rename@openssh.com", "1"],
  ["statvfs@openssh.com", "2"],
  ["fstatvfs@openssh.com", "2"],
  ["hardlink@openssh.com", "1"],
  ["fsync@openssh.com", "1"],
  ["lsetstat@openssh.com", "1"],
  ["limits@openssh.com", "1"],
  ["expand-path@openssh.com", "1"],
  ["home-directory", "1"],
  ["users-groups-by-id@openssh.com", "1"],
  ["copy-data", "1"],
];

export function version(): Buffer {
  const extensions = EXTENSIONS.flatMap(([name, value]) => [{ string: name }, { string: value }]);
  return encodePacket(RESPONSE.version, { u32: VERSION }, { raw: encodeFields(extensions) });
}

export function status(id: number, code: Status, message = MESSAGES[code]): Buffer {
  return encodePacket(RESPONSE.status, { u32: id }, { u32: code }, { string: message }, { string: "" });
}

export const MESSAGES: Readonly<Record<Status, string>> = {
  [STATUS.ok]: "Success",
  [STATUS.eof]: "End of file",
  [STATUS.noSuchFile]: "No such file",
  [STATUS.permissionDenied]: "Permission denied",
  [STATUS.failure]: "Failure",
  [STATUS.badMessage]: "Bad message",
  [STATUS.unsupported]: "Operation unsupported",
};

export function statusOf(id: number, error: unknown): Buffer {
  if (error instanceof SftpFailure) return status(id, error.status, error.message);
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined) throw error;
  if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP" || code === "EBADF")
    return status(id, STATUS.noSuchFile);
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") return status(id, STATUS.permissionDenied);
  if (code === "EINVAL" || code === "ENAMETOOLONG") return status(id, STATUS.badMessage);
  if (code === "ENOSYS") return status(id, STATUS.unsupported);
  return status(id, STATUS.failure, `Failure (${code})`);
}

/** OpenSSH PROTOCOL §4.5: block sizes, counts, serial number, flags, longest name. */
export function volume(id: number, facts: StatsFs): Buffer {
  const { bsize, blocks, bfree, bavail, files, ffree } = facts;
  const fields = u64s([bsize, bsize, blocks, bfree, bavail, files, ffree, ffree, 0, 0, NAME_MAX]);
  return encodePacket(RESPONSE.extended, { u32: id }, { raw: fields });
}

export function u64s(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => {
    bytes.writeBigUInt64BE(BigInt(Math.max(0, value)), 8 * index);
  });
  return bytes;
}

export function attributesOf(id: number, facts: FileFacts): Buffer {
  return encodePacket(RESPONSE.attrs, { u32: id }, { raw: encodeAttributes(facts) });
}

export const NO_ATTRIBUTES = encodeMode();

export function name(id: number, path: Buffer): Buffer {
  return encodePacket(
    RESPONSE.name,
    { u32: id },
    { u32: 1 },
    { string: path },
    { string: path },
    { raw: NO_ATTRIBUTES },
  );
}
