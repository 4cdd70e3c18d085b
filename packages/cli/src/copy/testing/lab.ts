/** Copies between files in memory and a strict SFTP server on files in memory. */
import { Copier, type CopierOptions } from "../copier.ts";
import type { FileSystem } from "../file-system.ts";
import { RemoteFiles } from "../remote-files.ts";
import { SftpClient } from "../sftp/sftp-client.ts";
import { MemoryFiles } from "./memory-files.ts";
import { MemoryTree } from "./memory-tree.ts";
import { StrictServer, type StrictServerOptions } from "./strict-server.ts";

export type Direction = "up" | "down";

export interface Lab {
  readonly here: MemoryTree;
  readonly server: StrictServer;
  readonly remote: RemoteFiles;
  readonly local: FileSystem;
  /** Commands that the workspace's shell was given. */
  readonly commands: string[];
  readonly said: string[];
  copier(direction: Direction, options?: Partial<CopierOptions>): Copier;
}

/** What the user's ~/.ssh/rc prints before every command. */
const OF_RC = "welcome\n";

export async function lab(options: StrictServerOptions = {}, there = new MemoryTree()): Promise<Lab> {
  const here = new MemoryTree();
  const server = new StrictServer(there, options);
  const sftp = await SftpClient.open(server.channel);
  // Stands in for the workspace's sha256sum.
  const commands: string[] = [];
  const remote = new RemoteFiles(sftp, async (command) => {
    commands.push(command);
    if (command === "id -u") return `${OF_RC}${there.user}\n`;
    if (command === "umask") return `${OF_RC}0022\n`;
    const [, bytes, path] = /^head -c (\d+) < '(.*)' \| sha256sum$/s.exec(command)!;
    return `${OF_RC}${there.file(path!)!.digest(Number(bytes))}  -\n`;
  });
  const local = new MemoryFiles(here);
  const said: string[] = [];
  const copier = (direction: Direction, more: Partial<CopierOptions> = {}): Copier =>
    new Copier({
      from: direction === "up" ? local : remote,
      to: direction === "up" ? remote : local,
      recursive: true,
      sync: false,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      say: (line) => said.push(line),
      ...more,
    });
  return { here, server, remote, local, commands, said, copier };
}
