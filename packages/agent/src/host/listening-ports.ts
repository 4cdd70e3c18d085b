/**
 * TCP ports of the workspace on which programs listen, and those programs: on Linux from /proc, on macOS from lsof. Empty
 * elsewhere.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface ListeningPort {
  readonly process_name: string;
  readonly network: "tcp";
  readonly port: number;
  /** Changes when another program, or the same one restarted, listens there. */
  readonly listener: string;
}

/** Ports that do not belong to development servers. */
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

export async function listeningPorts(platform: NodeJS.Platform = process.platform): Promise<ListeningPort[]> {
  return platform === "darwin" ? fromLsof() : fromProc();
}

/**
 * `-F pcn` prints one line per field, whose first letter is its kind: process, command, and the name (address) of each socket.
 */
const LSOF_ARGS = ["-nP", "-iTCP", "-sTCP:LISTEN", "-F", "pcn"];
const LSOF_TIMEOUT_MS = 5_000;
const MAX_LSOF_BYTES = 4 * 1024 * 1024;

function fromLsof(): Promise<ListeningPort[]> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: LSOF_TIMEOUT_MS, maxBuffer: MAX_LSOF_BYTES };
    execFile("lsof", LSOF_ARGS, limits, (error, stdout) => {
      // lsof exits with 1 when it found nothing or may not read everything.
      if (error !== null && error.code !== 1) reject(error);
      else resolve(parseLsof(stdout));
    });
  });
}

/** Parses the output of lsof. Pure. */
export function parseLsof(text: string): ListeningPort[] {
  const ports = new Map<number, FoundPort>();
  let [pid, command] = ["", ""];
  for (const line of text.split("\n")) {
    const [kind, value] = [line[0], line.slice(1)];
    if (kind === "p") [pid, command] = [value, ""];
    else if (kind === "c") command = value;
    else if (kind === "n") {
      // `*:8080`, `127.0.0.1:8080`, `[::1]:8080`
      const port = Number(/^[^>]*:([0-9]{1,5})$/.exec(value)?.[1] ?? Number.NaN);
      if (port > 0 && port < 65536 && !IGNORED.has(port) && (ports.has(port) || ports.size < MAX_PORTS))
        ports.set(port, foundAgain(ports.get(port), command, pid));
    }
  }
  return sorted(ports);
}

interface FoundPort {
  readonly name: string;
  readonly listener: string;
}

/** A port with several sockets, such as those of IPv4 and IPv6, is attributed to the first whose program is known. */
function foundAgain(before: FoundPort | undefined, name: string, socket: string): FoundPort {
  if (before === undefined) return { name, listener: socket };
  const known = before.listener.split(" ").includes(socket);
  return { name: before.name || name, listener: known ? before.listener : `${before.listener} ${socket}` };
}

function sorted(ports: ReadonlyMap<number, FoundPort>): ListeningPort[] {
  return [...ports]
    .sort(([a], [b]) => a - b)
    .map(([port, { name, listener }]) => ({ process_name: name, network: "tcp", port, listener }));
}

function fromProc(): ListeningPort[] {
  const sockets = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) => {
    try {
      return parseProcNetTcp(readFileSync(path, "utf8"));
    } catch {
      return []; // not Linux, or no such address family
    }
  });
  const wanted = new Map<string, number>();
  for (const { port, inode } of sockets) if (!IGNORED.has(port) && wanted.size < MAX_PORTS) wanted.set(inode, port);
  const names = processNames(wanted);
  const ports = new Map<number, FoundPort>();
  for (const [inode, port] of wanted) ports.set(port, foundAgain(ports.get(port), names.get(inode) ?? "", inode));
  return sorted(ports);
}

/** Program names by socket inode, as far as permissions allow. */
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
      // Another user's process, or one that has ended.
    }
  }
  return names;
}
