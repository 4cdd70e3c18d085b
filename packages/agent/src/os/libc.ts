/**
 * The calls of the C library that Node does not offer: terminals, pipes, and flags of descriptors. Bound by koffi,
 * whose prebuilt binaries need no compiler. Every descriptor created here is close-on-exec from the start.
 */
import { readdirSync } from "node:fs";
import { endianness } from "node:os";
import { getSystemErrorName } from "node:util";
import { isMainThread } from "node:worker_threads";
import { loadAtRunTime, originAtRunTime } from "wg-userspace/io/host/run-time-require";
import { bindSpawner, type Spawner } from "./posix-spawn.ts";

type LibraryFunction = (...args: readonly unknown[]) => number;

interface Koffi {
  load(path: null): { func(declaration: string): LibraryFunction };
  errno(): number;
  address(memory: Uint8Array): bigint;
}

export interface Libc {
  /** Opens a new terminal's master side and returns its descriptor and the device of the other side. */
  openTerminal(): { readonly master: number; readonly device: string };
  /** @param argument Read or written by the kernel. */
  ioctl(descriptor: number, request: number, argument: Uint8Array): void;
  /**
   * Whether no program has this master's terminal open any more, although its last output may still be unread. Undefined where
   * the kernel does not report it.
   */
  isHungUp(master: number): boolean | undefined;
  /** Descriptors of the reading and the writing end. */
  pipe(): readonly [reader: number, writer: number];
  /** Marks every descriptor above 2 close-on-exec, whichever code opened it. */
  sealDescriptors(): void;
  /** Ends the process without waiting for its threads. */
  exit(code: number): void;
  /** Undefined where programs have to be started by Node. */
  readonly spawn: Spawner | undefined;
}

const NAME_BYTES = 128;
const FIRST_UNSEALED = 3;
const LAST_DESCRIPTOR = 0xffff_ffff;

/** Values from <fcntl.h> and <linux/close_range.h>. */
const CONSTANTS: Readonly<Record<string, { readWrite: number; noControl: number; closeOnExec: number }>> = {
  linux: { readWrite: 0o2, noControl: 0o400, closeOnExec: 0o2000000 },
  darwin: { readWrite: 0x2, noControl: 0x20000, closeOnExec: 0x1000000 },
};
const CLOSE_RANGE_CLOEXEC = 4;
/** From <poll.h>: one struct pollfd, and the offset of its result. */
const POLLFD = { bytes: 8, result: 6 } as const;
const POLLHUP = 0x10;
const LITTLE_ENDIAN = endianness() === "LE";
const F_SETFD = 2;
const FD_CLOEXEC = 1;

let loaded: Libc | Error | undefined;

/** The library, or the error that prevents its use here. */
export function libc(): Libc | Error {
  loaded ??= load();
  return loaded;
}

/** For diagnosis: where the library came from, or why there is none. */
export function describeLibc(): string {
  const found = libc();
  return found instanceof Error
    ? `none: ${found.message}`
    : `by koffi, from ${originAtRunTime("koffi", import.meta.url)}`;
}

function load(): Libc | Error {
  const constants = CONSTANTS[process.platform];
  if (constants === undefined) return new Error(`there is no support for ${process.platform}`);
  try {
    return bind(loadAtRunTime("koffi", import.meta.url) as Koffi, constants);
  } catch (error) {
    const [line] = (error instanceof Error ? error.message : String(error)).split("\n", 1);
    return new Error(line ?? "unknown reason", { cause: error });
  }
}

function bind(koffi: Koffi, { readWrite, noControl, closeOnExec }: (typeof CONSTANTS)[string] & object): Libc {
  const library = koffi.load(null);
  const posixOpenpt = library.func("int posix_openpt(int flags)");
  const grantpt = library.func("int grantpt(int fd)");
  const unlockpt = library.func("int unlockpt(int fd)");
  const ptsname = library.func("int ptsname_r(int fd, uint8_t *name, size_t length)");
  const ioctl = library.func("int ioctl(int fd, unsigned long request, ...)");
  const fcntl = library.func("int fcntl(int fd, int command, ...)");
  const linux = process.platform === "linux";
  // macOS has no pipe2, but its spawn closes descriptors that are not named.
  const pipe = linux ? library.func("int pipe2(int *ends, int flags)") : library.func("int pipe(int *ends)");
  const poll = library.func("int poll(uint8_t *descriptors, unsigned long count, int milliseconds)");
  const close = library.func("int close(int fd)");
  const exit = library.func("void _exit(int status)");
  const closeRange = linux
    ? optional(() => library.func("int close_range(uint32_t first, uint32_t last, int flags)"))
    : undefined;

  const check = (result: number, call: string): number => {
    if (result >= 0) return result;
    throw systemError(koffi.errno(), call);
  };
  const seal = (descriptor: number): void => {
    fcntl(descriptor, F_SETFD, "int", FD_CLOEXEC);
  };
  return {
    openTerminal() {
      const flags = readWrite | noControl | (linux ? closeOnExec : 0);
      const master = check(posixOpenpt(flags), "open a terminal");
      try {
        if (!linux) seal(master);
        check(grantpt(master), "grant a terminal");
        check(unlockpt(master), "unlock a terminal");
        const name = new Uint8Array(NAME_BYTES);
        const error = ptsname(master, name, NAME_BYTES);
        if (error !== 0) throw systemError(error, "name a terminal");
        return { master, device: Buffer.from(name.subarray(0, name.indexOf(0))).toString("latin1") };
      } catch (error) {
        close(master);
        throw error;
      }
    },
    ioctl(descriptor, request, argument) {
      check(ioctl(descriptor, request, "uint8_t *", argument), "ioctl");
    },
    isHungUp(master) {
      if (!linux) return undefined; // macOS cannot poll terminals
      const record = new Uint8Array(POLLFD.bytes);
      const view = new DataView(record.buffer);
      view.setInt32(0, master, LITTLE_ENDIAN);
      check(poll(record, 1, 0), "poll a terminal");
      return (view.getInt16(POLLFD.result, LITTLE_ENDIAN) & POLLHUP) !== 0;
    },
    pipe() {
      const ends = new Int32Array(2);
      check(linux ? pipe(ends, closeOnExec) : pipe(ends), "make a pipe");
      const [reader = -1, writer = -1] = ends;
      if (!linux) for (const end of [reader, writer]) seal(end);
      return [reader, writer];
    },
    sealDescriptors() {
      if (!linux) return;
      if (closeRange !== undefined && closeRange(FIRST_UNSEALED, LAST_DESCRIPTOR, CLOSE_RANGE_CLOEXEC) === 0) return;
      for (const descriptor of openDescriptors()) if (descriptor >= FIRST_UNSEALED) seal(descriptor);
    },
    exit(code) {
      exit(code);
    },
    spawn: linux ? spawnerOf(koffi, library) : undefined,
  };
}

function spawnerOf(koffi: Koffi, library: ReturnType<Koffi["load"]>): Spawner | undefined {
  if (!isMainThread) return undefined; // only the main thread gets signals
  const functions = { func: (declaration: string) => library.func(declaration), address: koffi.address };
  return optional(() => bindSpawner(functions, () => koffi.errno()));
}

/** close_range needs Linux 5.11. */
function openDescriptors(): readonly number[] {
  return readdirSync("/proc/self/fd").map(Number);
}

function optional<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch (error) {
    if (!/^Cannot find function/.test((error as Error).message)) throw error;
    return undefined; // an older C library
  }
}

function systemError(errno: number, call: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`cannot ${call}: ${code}`), { code, errno: -errno });
}
