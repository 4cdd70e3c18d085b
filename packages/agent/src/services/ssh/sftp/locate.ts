import { isExecutable } from "../../../os/executable.ts";

/** Where distributions install OpenSSH's SFTP server. */
const PLACES = [
  "/usr/lib/openssh/sftp-server",
  "/usr/libexec/openssh/sftp-server",
  "/usr/libexec/sftp-server",
  "/usr/lib/ssh/sftp-server",
  "/usr/lib/sftp-server",
  "/usr/lib/misc/sftp-server",
] as const;

export function findSftpServer(): string | undefined {
  return PLACES.find(isExecutable);
}
