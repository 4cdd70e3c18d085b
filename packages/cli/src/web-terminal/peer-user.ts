/**
 * Which user of this machine is at the other end of a loopback connection. On Linux the kernel lists the owner of every socket in
 * /proc/net/tcp; other systems offer nothing similar without native code.
 */
import { readFile } from "node:fs/promises";

/** IPv4 sockets, and sockets for both families that were connected to an IPv4 address. */
const TABLES = ["/proc/net/tcp", "/proc/net/tcp6"] as const;
const ESTABLISHED = "01";

export interface Ends {
  readonly localPort: number;
  readonly remotePort: number;
}

/**
 * The user id of the client of an accepted connection over 127.0.0.1; "gone" if it has no established socket any more, undefined
 * where the system does not say.
 */
export async function clientUser(
  ends: Ends,
  read: (path: string) => Promise<string> = (path) => readFile(path, "latin1"),
): Promise<number | "gone" | undefined> {
  let tables = 0;
  for (const path of TABLES) {
    let text: string;
    try {
      text = await read(path);
    } catch (error) {
      // There is no IPv6, or no such file system.
      if (["ENOENT", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) continue;
      throw error;
    }
    tables++;
    const user = userIn(text, ends);
    if (user !== undefined) return user;
  }
  return tables === 0 ? undefined : "gone";
}

/**
 * Columns: number, local address, remote address, state, queues, timer, retransmissions, user. Only established sockets count,
 * because the kernel shows user 0 for those that their program has closed.
 */
function userIn(table: string, { localPort, remotePort }: Ends): number | undefined {
  // The client's local end is the server's remote one.
  const [client, server] = [loopback(remotePort), loopback(localPort)];
  for (const line of table.split("\n")) {
    const [, local = "", remote = "", state, , , , user = ""] = line.trim().split(/\s+/);
    if (state === ESTABLISHED && local.endsWith(client) && remote.endsWith(server) && /^\d+$/.test(user))
      return Number(user);
  }
  return undefined;
}

/** 127.0.0.1 as the kernel writes it, also at the end of its form for IPv6. */
function loopback(port: number): string {
  return `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
}
