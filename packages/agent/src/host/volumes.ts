/**
 * Which file system a path is on, found without asking a file system that may not answer: one on the network, or one that a
 * program serves (FUSE). Linux only; elsewhere nothing is known.
 */
import { readFileSync, readlinkSync } from "node:fs";

/** The kernel alone serves these, from this machine, so they always answer. */
const ANSWERING = new Set(
  (
    "bcachefs binfmt_misc bpf btrfs cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs erofs exfat ext2 ext3 ext4 f2fs hugetlbfs " +
    "iso9660 mqueue msdos ntfs3 overlay proc pstore ramfs rootfs securityfs squashfs sysfs tmpfs tracefs udf vfat xfs zfs"
  ).split(" "),
);
/** As path resolution of Linux has it (MAXSYMLINKS). */
const MAX_LINKS = 40;
/** The table is read again after this time. */
const FRESH_MS = 1_000;
const MOUNT_TABLE = "/proc/self/mountinfo";

export interface Volume {
  /** Equal for all mounts of one file system. */
  readonly id: string;
  /** Operations may wait for something outside of this machine's kernel. */
  readonly maySilence: boolean;
}

export interface VolumesOptions {
  readonly table?: () => string;
  readonly readLink?: (path: Buffer) => Buffer;
  readonly now?: () => number;
}

export class Volumes {
  readonly #table: () => string;
  readonly #readLink: (path: Buffer) => Buffer;
  readonly #now: () => number;
  #mounts: ReadonlyMap<string, Volume> | undefined;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(options: VolumesOptions = {}) {
    this.#table = options.table ?? (() => readFileSync(MOUNT_TABLE, "latin1"));
    this.#readLink = options.readLink ?? ((path) => readlinkSync(path, { encoding: "buffer" }));
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * The file system on which operations on a path end, or the first one on the way that may not answer. Undefined if it is not known.
   * @param path Absolute.
   */
  of(path: string | Buffer): Volume | undefined {
    const mounts = this.#current();
    const root = mounts?.get("/");
    if (mounts === undefined || root === undefined) return undefined;
    // One character for each byte, since names need not be text.
    const left = split(Buffer.from(path).toString("latin1"));
    let volume = root;
    let at: string[] = [];
    for (let links = 0; left.length > 0; ) {
      if (volume.maySilence) return this.#deepest(mounts, at, left, volume);
      const name = left.pop()!;
      if (name === "..") {
        at.pop();
        volume = volumeAt(mounts, at);
        continue;
      }
      at.push(name);
      const mounted = mounts.get(`/${at.join("/")}`);
      if (mounted !== undefined) {
        volume = mounted;
        continue;
      }
      const target = this.#target(at);
      if (target === undefined) continue;
      if (++links > MAX_LINKS) return volume;
      if (target.startsWith("/")) at = [];
      else at.pop();
      volume = volumeAt(mounts, at);
      left.push(...split(target));
    }
    return volume;
  }

  /** Below a file system that may not answer no link is read, but what is mounted there is known. */
  #deepest(mounts: ReadonlyMap<string, Volume>, at: readonly string[], left: readonly string[], from: Volume): Volume {
    let path = at.length === 0 ? "" : `/${at.join("/")}`;
    for (const name of left.toReversed()) {
      if (name === "..") break;
      path += `/${name}`;
      const mounted = mounts.get(path);
      if (mounted !== undefined && mounted.id !== from.id) return mounted;
    }
    return from;
  }

  /** Undefined for what is no link, and for what cannot be read. */
  #target(at: readonly string[]): string | undefined {
    try {
      return this.#readLink(Buffer.from(`/${at.join("/")}`, "latin1")).toString("latin1");
    } catch {
      return undefined;
    }
  }

  #current(): ReadonlyMap<string, Volume> | undefined {
    const now = this.#now();
    if (now - this.#readAt < FRESH_MS) return this.#mounts;
    this.#readAt = now;
    try {
      this.#mounts = parseMounts(this.#table());
    } catch {
      this.#mounts = undefined; // not Linux, or no /proc here
    }
    return this.#mounts;
  }
}

/** Mount point → file system. Of several mounts at one point, the last is the visible one (proc_pid_mountinfo(5)). */
export function parseMounts(table: string): ReadonlyMap<string, Volume> {
  const mounts = new Map<string, Volume>();
  for (const line of table.split("\n")) {
    const [head = "", tail = ""] = line.split(" - ", 2);
    const [, , device, , point] = head.split(" ");
    const [type = ""] = tail.split(" ");
    if (device === undefined || point === undefined) continue;
    const path = point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    mounts.set(path, { id: device, maySilence: !ANSWERING.has(type) });
  }
  return mounts;
}

function volumeAt(mounts: ReadonlyMap<string, Volume>, at: readonly string[]): Volume {
  for (let length = at.length; length > 0; length--) {
    const mounted = mounts.get(`/${at.slice(0, length).join("/")}`);
    if (mounted !== undefined) return mounted;
  }
  return mounts.get("/")!;
}

/** The names of a path, the first one last. */
function split(path: string): string[] {
  return path
    .split("/")
    .filter((name) => name !== "" && name !== ".")
    .reverse();
}
