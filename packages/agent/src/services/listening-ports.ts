/** Which TCP ports of the workspace are listened on, and by which program: Linux, from /proc. Empty elsewhere. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface ListeningPort {
  readonly process_name: string;
  readonly network: "tcp";
  readonly port: number;
}

/** Ports that are no development servers. */
const IGNORED = new Set([
  ...Array.from({ length: 9 }, (_, port) => port),
  ...[20, 21, 22, 23, 25, 53, 110, 143, 179, 389, 465, 587, 636, 989, 990, 993, 995],
  ...[3306, 3389, 5432, 27017, 27018, 27019, 28017],
]);
const LISTEN = "0A";
const MAX_PORTS = 1024;

/** Ports and socket inodes of one /proc/net/tcp table. Pure. */
export function parseProcNetTcp(table: string): { readonly port: number; readonly inode: string }[] {
  return table
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      const port = Number.parseInt(fields[1]?.split(":")[1] ?? "", 16);
      if (fields[3] !== LISTEN || !Number.isInteger(port) || fields[9] === undefined) return [];
      return [{ port, inode: fields[9] }];
    });
}

export function listeningPorts(): ListeningPort[] {
  const sockets = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) => {
    try {
      return parseProcNetTcp(readFileSync(path, "utf8"));
    } catch {
      return []; // no Linux, or no such family
    }
  });
  const wanted = new Map<string, number>();
  for (const { port, inode } of sockets) if (!IGNORED.has(port) && wanted.size < MAX_PORTS) wanted.set(inode, port);
  const names = processNames(wanted);
  const ports = new Map<number, string>();
  for (const [inode, port] of wanted) if (!ports.get(port)) ports.set(port, names.get(inode) ?? "");
  return [...ports].sort(([a], [b]) => a - b).map(([port, process_name]) => ({ process_name, network: "tcp", port }));
}

/** Program by socket inode, as far as we may look. */
function processNames(inodes: ReadonlyMap<string, number>): Map<string, string> {
  const names = new Map<string, string>();
  if (inodes.size === 0) return names;
  for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
        if (inode !== undefined && inodes.has(inode))
          names.set(inode, readFileSync(`/proc/${pid}/comm`, "utf8").trim());
      }
    } catch {
      // Another user's process, or one that ended meanwhile.
    }
  }
  return names;
}
