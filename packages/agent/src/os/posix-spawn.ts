/**
 * Programs by posix_spawn(3) of the C library. Node's own spawn takes only text, reports a real-time signal as success, and gives
 * programs the limit of open files that Node raised for itself. Linux only. They are waited for on SIGCHLD, independently of
 * Node's own children.
 */
import { closeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { signalName } from "./signal-name.ts";

type LibraryFunction = (...args: readonly unknown[]) => number;

/** The part of koffi that is used here. */
export interface CLibrary {
  func(declaration: string): LibraryFunction;
  address(memory: Uint8Array): bigint;
}

/** Strings are bytes without a NUL. */
export interface SpawnRequest {
  readonly file: Uint8Array;
  /** Begins with the program's own name. */
  readonly argv: readonly Uint8Array[];
  /** `NAME=value`. */
  readonly environment: readonly Uint8Array[];
  readonly directory: Uint8Array;
  /** The descriptors that become 0, 1 and 2. Each is above 2. */
  readonly descriptors: readonly [number, number, number];
  /** The device that becomes the controlling terminal, and 0, 1 and 2 instead of `descriptors`. */
  readonly terminal: Uint8Array | undefined;
}

export interface ProgramExit {
  /** Undefined when the program was ended by a signal. */
  readonly code: number | undefined;
  /** Name as in `SIGTERM` or `SIGRTMIN+3`. */
  readonly signal: string | undefined;
  /** Whether the kernel made a core dump; absent where that is not known. */
  readonly coreDumped?: boolean | undefined;
}

/**
 * A running program that leads its own kernel session. It need not keep this process alive: where Node has not started it, only
 * its open streams do, and `exited` then stays pending.
 */
export interface Program {
  readonly pid: number;
  readonly exited: Promise<ProgramExit>;
}

/** Starts a program; throws a system error when it cannot be started. */
export type Spawner = (request: SpawnRequest) => Program;

/** From <spawn.h>, the same with glibc and musl. */
const POSIX_SPAWN = { setSignalDefaults: 0x04, setSignalMask: 0x08, setSession: 0x80 } as const;
/** Larger than the opaque records of any C library. */
const RECORD_BYTES = 1024;
const O_RDWR = 2;
const WNOHANG = 1;
const RLIMIT_NOFILE = 7;
const F_DUPFD_CLOEXEC = 1030;
const ENOEXEC = 8;
const EINTR = 4;
/** In the status of waitpid(2). */
const CORE_DUMPED = 0x80;
const SHELL = Buffer.from("/bin/sh");

/** The usual soft limit, which select(2) can handle. A program that needs more raises it: the hard limit is left alone. */
const PROGRAM_FILES = 1024n;
/** Descriptors that other threads can open while this process has the programs' limit. */
const HEADROOM = 256;

/** Throws when the C library lacks one of the functions. */
export function bindSpawner(library: CLibrary, errno: () => number): Spawner {
  const spawn = library.func(
    "int posix_spawn(int *pid, const uint8_t *path, uint8_t *actions, uint8_t *attributes, uint8_t *argv, uint8_t *envp)",
  );
  const initActions = library.func("int posix_spawn_file_actions_init(uint8_t *actions)");
  const destroyActions = library.func("int posix_spawn_file_actions_destroy(uint8_t *actions)");
  const addDup = library.func("int posix_spawn_file_actions_adddup2(uint8_t *actions, int from, int to)");
  const addOpen = library.func(
    "int posix_spawn_file_actions_addopen(uint8_t *actions, int fd, const uint8_t *path, int flags, uint32_t mode)",
  );
  const addDirectory = library.func("int posix_spawn_file_actions_addchdir_np(uint8_t *actions, const uint8_t *path)");
  const children = new Children(library.func("int waitpid(int pid, int *status, int options)"), errno);
  const limits = new FileLimits(library);
  const attributes = sessionAttributes(library);

  const run = (request: SpawnRequest, file: Uint8Array, argv: readonly Uint8Array[]): number => {
    const actions = Buffer.allocUnsafeSlow(RECORD_BYTES);
    check(initActions(actions), "start a program");
    try {
      check(addDirectory(actions, terminated(request.directory)), "start a program");
      if (request.terminal === undefined) {
        for (const [to, from] of request.descriptors.entries()) check(addDup(actions, from, to), "start a program");
      } else {
        // The leader of a session gets the terminal that it opens as its controlling one.
        check(addOpen(actions, 0, terminated(request.terminal), O_RDWR, 0), "start a program");
        for (const to of [1, 2]) check(addDup(actions, 0, to), "start a program");
      }
      const pid = new Int32Array(1);
      const environment = vector(library, request.environment);
      const error = limits.during(request.descriptors[0], () =>
        spawn(pid, terminated(file), actions, attributes, vector(library, argv), environment),
      );
      check(error, "start the program");
      return pid[0]!;
    } finally {
      destroyActions(actions);
    }
  };
  return (request) => {
    const done = children.expectOne();
    try {
      return children.add(start());
    } finally {
      done();
    }

    function start(): number {
      try {
        return run(request, request.file, request.argv);
      } catch (error) {
        // Like execvp(3), for a script without an interpreter line.
        if ((error as NodeJS.ErrnoException).errno !== -ENOEXEC) throw error;
        return run(request, SHELL, [SHELL, request.file, ...request.argv.slice(1)]);
      }
    }
  };
}

/** A new kernel session, and every signal as the kernel has it: Node ignores some and blocks others. */
function sessionAttributes(library: CLibrary): Buffer {
  const attributes = Buffer.allocUnsafeSlow(RECORD_BYTES);
  // sigfillset(3) leaves out the signals that the C library keeps for itself, and glibc then has programs ignore those.
  const [all, none] = [Buffer.alloc(RECORD_BYTES, 0xff), Buffer.alloc(RECORD_BYTES)];
  check(library.func("int posix_spawnattr_init(uint8_t *attributes)")(attributes), "prepare to start programs");
  library.func("int posix_spawnattr_setsigdefault(uint8_t *attributes, const uint8_t *set)")(attributes, all);
  library.func("int posix_spawnattr_setsigmask(uint8_t *attributes, const uint8_t *set)")(attributes, none);
  const flags = POSIX_SPAWN.setSignalDefaults | POSIX_SPAWN.setSignalMask | POSIX_SPAWN.setSession;
  const result = library.func("int posix_spawnattr_setflags(uint8_t *attributes, short flags)")(attributes, flags);
  check(result, "give programs a session of their own");
  return attributes;
}

/** The children that Node did not start. */
class Children {
  readonly #waitpid: LibraryFunction;
  readonly #errno: () => number;
  readonly #running = new Map<number, (exit: ProgramExit) => void>();
  #expected = 0;
  #listening = false;
  readonly #look = (): void => {
    for (const [pid, ended] of this.#running) {
      const exit = this.#exitOf(pid);
      if (exit === undefined) continue;
      this.#running.delete(pid);
      ended(exit);
    }
    this.#listen();
  };

  constructor(waitpid: LibraryFunction, errno: () => number) {
    this.#waitpid = waitpid;
    this.#errno = errno;
  }

  /** Call this before a program starts, since it may end at once, and the returned function afterwards. */
  expectOne(): () => void {
    this.#expected++;
    this.#listen();
    return () => {
      this.#expected--;
      this.#listen();
    };
  }

  add(pid: number): Program {
    const { promise: exited, resolve } = Promise.withResolvers<ProgramExit>();
    this.#running.set(pid, resolve);
    return { pid, exited };
  }

  #listen(): void {
    const needed = this.#expected + this.#running.size > 0;
    if (needed === this.#listening) return;
    this.#listening = needed;
    if (needed) process.on("SIGCHLD", this.#look);
    else process.off("SIGCHLD", this.#look);
  }

  #exitOf(pid: number): ProgramExit | undefined {
    const status = new Int32Array(1);
    const found = this.#waitpid(pid, status, WNOHANG);
    if (found === 0 || (found < 0 && this.#errno() === EINTR)) return undefined;
    if (found < 0) return { code: undefined, signal: undefined }; // something else has waited for it
    const signal = status[0]! & 0x7f;
    return signal === 0
      ? { code: (status[0]! >> 8) & 0xff, signal: undefined }
      : { code: undefined, signal: signalName(signal), coreDumped: (status[0]! & CORE_DUMPED) !== 0 };
  }
}

/** Node raises its soft limit of open files to the hard limit before any code runs; programs inherit what it is at their start. */
class FileLimits {
  readonly #fcntl: LibraryFunction;
  readonly #prlimit: LibraryFunction;

  constructor(library: CLibrary) {
    this.#fcntl = library.func("int fcntl(int fd, int command, ...)");
    const bind = (name: string): LibraryFunction =>
      library.func(`int ${name}(int pid, int resource, const uint8_t *limit, uint8_t *previous)`);
    try {
      this.#prlimit = bind("prlimit64"); // the plain name has 32 bits with glibc on 32-bit machines
    } catch {
      this.#prlimit = bind("prlimit"); // musl has that one alone, with 64 bits everywhere
    }
  }

  /**
   * Starts a program with the usual limit, or with a higher one if this process has too many open files to use the usual one
   * itself for a moment.
   * @param descriptor Any open one.
   */
  during(descriptor: number, start: () => number): number {
    const own = new BigUint64Array(2);
    if (this.#set(undefined, own) !== 0) return start();
    const [soft = 0n, hard = 0n] = own;
    const needed = BigInt(this.#nextDescriptor(descriptor) + HEADROOM);
    const limit = needed > PROGRAM_FILES ? needed : PROGRAM_FILES;
    if (soft <= limit) return start();
    this.#set(BigUint64Array.of(limit, hard), undefined);
    try {
      return start();
    } finally {
      this.#set(own, undefined);
    }
  }

  #set(limit: BigUint64Array | undefined, previous: BigUint64Array | undefined): number {
    return this.#prlimit(0, RLIMIT_NOFILE, bytesOf(limit), bytesOf(previous));
  }

  /** The lowest free number, which is what the next open file gets; -1 if there is none, and then no thread gets one anyway. */
  #nextDescriptor(descriptor: number): number {
    const next = this.#fcntl(descriptor, F_DUPFD_CLOEXEC, "int", 0);
    if (next >= 0) closeSync(next);
    return next;
  }
}

function bytesOf(values: BigUint64Array | undefined): Uint8Array | null {
  return values === undefined ? null : new Uint8Array(values.buffer);
}

/** A null-terminated array of pointers to C strings, with the strings behind it. */
function vector(library: CLibrary, strings: readonly Uint8Array[]): Uint8Array {
  const head = POINTER_BYTES * (strings.length + 1);
  const memory = Buffer.allocUnsafeSlow(head + strings.reduce((sum, string) => sum + string.length + 1, 0));
  const base = library.address(memory);
  const wide = POINTER_BYTES === 8;
  const pointers = wide
    ? new BigUint64Array(memory.buffer, 0, strings.length + 1)
    : new Uint32Array(memory.buffer, 0, strings.length + 1);
  memory.fill(0, 0, head);
  let offset = head;
  strings.forEach((string, index) => {
    const pointer = base + BigInt(offset);
    pointers[index] = wide ? pointer : Number(pointer);
    memory.set(string, offset);
    memory[offset + string.length] = 0;
    offset += string.length + 1;
  });
  return memory;
}

const POINTER_BYTES = process.arch === "arm" || process.arch === "ia32" ? 4 : 8;

function terminated(string: Uint8Array): Buffer {
  return Buffer.concat([string, Buffer.of(0)]);
}

function check(error: number, call: string): void {
  if (error === 0) return;
  const code = getSystemErrorName(-error);
  throw Object.assign(new Error(`cannot ${call}: ${code}`), { code, errno: -error });
}
