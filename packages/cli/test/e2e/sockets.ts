/** The sockets of a process on this machine, from /proc (Linux). */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { endianness } from "node:os";

const LISTEN = "0A";

/** TCP sockets on which a process and its descendants listen, as "127.0.0.1:80" or "[hexadecimal]:80". */
export function listeningSockets(pid: number): string[] {
  const own = new Set([pid, ...descendants(pid)].flatMap(socketInodes));
  return ["tcp", "tcp6"].flatMap((table) =>
    rows(pid, table).flatMap((row) => {
      const [local, state, inode] = [row[1]!, row[3]!, row[9]!];
      return state === LISTEN && own.has(inode) ? [addressOf(local)] : [];
    }),
  );
}

/** UDP sockets that a process holds. */
export function udpSockets(pid: number): string[] {
  const own = new Set(socketInodes(pid));
  return ["udp", "udp6"].flatMap((table) =>
    rows(pid, table).flatMap((row) => (own.has(row[9]!) ? [addressOf(row[1]!)] : [])),
  );
}

function rows(pid: number, table: string): string[][] {
  const lines = readFileSync(`/proc/${pid}/net/${table}`, "utf8").trim().split("\n").slice(1);
  return lines.map((line) => line.trim().split(/\s+/));
}

function addressOf(text: string): string {
  const [hex, port] = text.split(":") as [string, string];
  const bytes = Buffer.from(hex, "hex");
  if (endianness() === "LE") bytes.swap32();
  const host = bytes.length === 4 ? bytes.join(".") : `[${bytes.toString("hex")}]`;
  return `${host}:${Number.parseInt(port, 16)}`;
}

function socketInodes(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((name) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${name}`))?.[1] ?? [];
    } catch {
      return []; // closed after it was listed
    }
  });
}

function descendants(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return children === ""
    ? []
    : children
        .split(" ")
        .map(Number)
        .flatMap((child) => [child, ...descendants(child)]);
}
