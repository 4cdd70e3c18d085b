/**
 * Programs on a pseudo-terminal. Uses the native part of node-pty directly: its JavaScript part throws buffered output
 * away 200 ms after the program's exit and takes input without telling when to stop.
 */
import { closeSync, constants, existsSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import type { SocketConstructorOpts } from "node:net";
import { constants as system } from "node:os";
import { ReadStream } from "node:tty";

/** Node-pty's binding of the pinned version. */
interface NativePty {
  fork(
    file: string,
    args: readonly string[],
    environment: readonly string[],
    directory: string,
    columns: number,
    rows: number,
    uid: number,
    gid: number,
    utf8: boolean,
    helper: string,
    onExit: (code: number, signal: number) => void,
  ): { readonly fd: number; readonly pid: number; readonly pty: string };
  resize(fd: number, columns: number, rows: number): void;
}

export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
}

export interface PtyOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly size: WindowSize;
  /** Variable that is to hold the terminal's device name. */
  readonly ttyVariable?: string;
}

export interface PtyExit {
  readonly code: number;
  /** Name as in `SIGTERM` when a signal ended the program. */
  readonly signal: string | undefined;
}

const DEFAULT_SIZE: WindowSize = { columns: 80, rows: 24 };
/** The kernel keeps 16 bits; nothing sensible is larger than this. */
const MAX_CELLS = 10_000;
/** After the exit, output of background programs that hold the terminal is awaited this long at most. */
const QUIET_AFTER_EXIT_MS = 50;

/** Whether this machine can make terminals; the reason when it cannot. */
export function ptyAvailability():
  | { readonly available: true }
  | { readonly available: false; readonly reason: string } {
  const native = loadNative();
  return native instanceof Error ? { available: false, reason: native.message } : { available: true };
}

/** Cells out of range become the nearest sensible size; zero means unknown. */
export function clampSize(size: WindowSize): WindowSize {
  return { columns: clamp(size.columns, DEFAULT_SIZE.columns), rows: clamp(size.rows, DEFAULT_SIZE.rows) };
}

/** A program that leads its own kernel session on a new terminal. */
export class Pty {
  readonly pid: number;
  /** Device of the program's side, such as `/dev/pts/3`. */
  readonly name: string;
  /** Resolves when the program has ended; output may still be on its way. */
  readonly ended: Promise<PtyExit>;
  /** Resolves once the program has ended and its output was read. */
  readonly exited: Promise<PtyExit>;
  /** Master side: program output to read, keystrokes to write; honours back-pressure both ways. Never emits `error`. */
  readonly stream: ReadStream;
  readonly #native: NativePty;
  readonly #fd: number;
  #open = true;

  /** Throws when terminals are unavailable or the program cannot be started. */
  constructor(options: PtyOptions) {
    const native = loadNative();
    if (native instanceof Error) throw native;
    this.#native = native;
    const size = clampSize(options.size);
    const exit = Promise.withResolvers<PtyExit>();
    const command = nameTerminal(options);
    const forked = native.fork(
      command.file,
      command.args,
      Object.entries({ ...options.environment, PWD: options.directory }).map(([name, value]) => `${name}=${value}`),
      options.directory,
      size.columns,
      size.rows,
      -1,
      -1,
      true,
      spawnHelper(),
      (code, signal) => exit.resolve({ code, signal: signalName(signal) }),
    );
    this.pid = forked.pid;
    this.name = forked.pty;
    this.#fd = forked.fd;
    // A program may close its terminal a moment before it exits. Were ours the only end left, the kernel would end our
    // reading, closing would hang up, and the program's exit status would be a SIGHUP.
    const held = openProgramSide(forked.pty);
    void exit.promise.then(() => {
      if (held !== undefined) closeSync(held);
    });
    // No read-ahead: the kernel reports the end of a terminal as an error, which discards what a paused stream holds.
    const noReadAhead: SocketConstructorOpts & { readableHighWaterMark: number } = { readableHighWaterMark: 0 };
    this.stream = new ReadStream(forked.fd, noReadAhead);
    const ended = new Promise<void>((resolve) => {
      this.stream.on("close", () => {
        this.#open = false;
        resolve();
      });
    });
    this.stream.on("error", () => this.stream.destroy()); // EIO: no program has the terminal open any more
    this.stream.on("end", () => this.stream.destroy());
    this.ended = exit.promise;
    this.exited = exit.promise.then(async (result) => {
      await this.#readRest(ended);
      return result;
    });
  }

  resize(size: WindowSize): void {
    const { columns, rows } = clampSize(size);
    if (this.#open) this.#native.resize(this.#fd, columns, rows);
  }

  /** Hangs up: the kernel sends SIGHUP to the session's leader and foreground job. */
  close(): void {
    this.stream.destroy();
  }

  /** Background programs may keep the terminal open for ever: then silence ends it. Waiting on the client is no silence. */
  async #readRest(ended: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const quiet = new Promise<void>((resolve) => {
      let bytes = -1;
      timer = setInterval(() => {
        const stalled = this.stream.isPaused() || this.stream.readableFlowing !== true;
        if (this.stream.bytesRead === bytes && !stalled) resolve();
        bytes = this.stream.bytesRead;
      }, QUIET_AFTER_EXIT_MS);
    });
    await Promise.race([ended, quiet]);
    clearInterval(timer);
    this.stream.destroy();
  }
}

function openProgramSide(device: string): number | undefined {
  try {
    return openSync(device, constants.O_RDWR | constants.O_NOCTTY);
  } catch {
    return undefined; // /dev/pts is not mounted here: the terminal works, only an early close is taken for a hang-up
  }
}

/** The device is known only on the terminal itself: a shell asks for it, then becomes the program. */
function nameTerminal(options: PtyOptions): { readonly file: string; readonly args: readonly string[] } {
  if (options.ttyVariable === undefined || !existsSync("/bin/sh")) return options;
  const script = `${options.ttyVariable}=$(tty) && export ${options.ttyVariable}; exec "$0" "$@"`;
  return { file: "/bin/sh", args: ["-c", script, options.file, ...options.args] };
}

let loaded: NativePty | Error | undefined;

function loadNative(): NativePty | Error {
  loaded ??= requireNative();
  return loaded;
}

function requireNative(): NativePty | Error {
  try {
    const { requireBinary } = createRequire(import.meta.url)("@lydell/node-pty/requireBinary.js") as {
      requireBinary: (file: string) => NativePty;
    };
    return requireBinary("pty.node");
  } catch (error) {
    const [line] = (error instanceof Error ? error.message : String(error)).split("\n", 1);
    return new Error(line ?? "unknown reason", { cause: error });
  }
}

/** macOS starts programs through a small executable of the package. */
function spawnHelper(): string {
  if (process.platform !== "darwin") return "";
  const name = `@lydell/node-pty-${process.platform}-${process.arch}/spawn-helper`;
  const require = createRequire(import.meta.url);
  return createRequire(require.resolve("@lydell/node-pty/requireBinary.js")).resolve(name);
}

function signalName(signal: number): string | undefined {
  if (signal === 0) return undefined;
  return Object.entries(system.signals).find(([, number]) => number === signal)?.[0] ?? `SIG${signal}`;
}

function clamp(cells: number, unknown: number): number {
  return cells === 0 ? unknown : Math.min(Math.max(Math.trunc(cells), 1), MAX_CELLS);
}
