/** Starts programs with only the descriptors that they are given, and on real pipes. */
import { isUtf8 } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, closeSync, constants, existsSync } from "node:fs";
import { Socket } from "node:net";
import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { isExecutable } from "./executable.ts";
import { libc } from "./libc.ts";
import type { Program, ProgramExit, Spawner } from "./posix-spawn.ts";
import type { TerminalDevice } from "./terminal-device.ts";

export type { Program, ProgramExit };

/** Text, or bytes that need not be text; without a NUL. */
export type Argument = string | Uint8Array;

export function byteLength(argument: Argument): number {
  return typeof argument === "string" ? Buffer.byteLength(argument) : argument.length;
}

export function hasNul(argument: Argument): boolean {
  return typeof argument === "string" ? argument.includes("\0") : argument.includes(0);
}

export interface ProgramStart {
  /** A path, or a name to look for in the environment's PATH. Either may be relative to `directory`. */
  readonly file: string;
  /** What the program is called (its argument 0); `file` when absent. */
  readonly name?: string | undefined;
  readonly args: readonly Argument[];
  /** Absolute. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, Argument>>;
}

export interface PipedProgram extends Program {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

const SHELL = "/bin/sh";
/** As execvp(3) has it where PATH is not set. */
const DEFAULT_PATH = "/bin:/usr/bin";
/** Not every sh can name a program; a shell whose name asks for a login shell has an option for it as well. */
const ON_TERMINAL = `
exec <>"$0" >&0 2>&0 || exit
name=$1; shift
if (exec -a x true) 2>/dev/null; then exec -a "$name" "$@"; fi
case $name in -*) exec "$@" -l;; esac
exec "$@"
`;

/**
 * Starts a program that leads its own kernel session, on three pipes. Node's own "pipes" are socket pairs, which no program can
 * reopen as `/dev/stdin` or `/proc/self/fd/1`. Throws a system error when it cannot be started.
 */
export function startOnPipes(start: ProgramStart): PipedProgram {
  const library = libc();
  if (library instanceof Error) {
    const child = spawnByNode(start, ["pipe", "pipe", "pipe"]);
    return { ...programOf(child), stdin: child.stdin!, stdout: child.stdout!, stderr: child.stderr! };
  }
  /** Descriptors that we must close. */
  const held = new Set<number>();
  const pipe = (): readonly [reader: number, writer: number] => {
    const ends = library.pipe();
    for (const end of ends) held.add(end);
    return ends;
  };
  const own = (fd: number, direction: { readable: boolean; writable: boolean }): Socket => {
    const socket = new Socket({ fd, ...direction });
    held.delete(fd);
    return socket;
  };
  try {
    const [[input, stdin], [stdout, output], [stderr, errors]] = [pipe(), pipe(), pipe()];
    const descriptors = [input, output, errors] as const;
    library.sealDescriptors();
    const program =
      library.spawn === undefined
        ? programOf(spawnByNode(start, descriptors))
        : spawnNatively(library.spawn, start, descriptors, undefined);
    return {
      ...program,
      stdin: own(stdin, { readable: false, writable: true }),
      stdout: own(stdout, { readable: true, writable: false }),
      stderr: own(stderr, { readable: true, writable: false }),
    };
  } finally {
    // The program has its ends, or could not be started.
    for (const end of held) closeSync(end);
  }
}

/** Starts a program whose controlling terminal is the device. Throws a system error when it cannot be started. */
export function startOnTerminal(start: ProgramStart, device: TerminalDevice): Program {
  const library = libc();
  if (library instanceof Error) throw library;
  const descriptors = [device.program, device.program, device.program] as const;
  library.sealDescriptors();
  if (library.spawn !== undefined) return spawnNatively(library.spawn, start, descriptors, device.name);
  // A session leader gets the terminal that it opens: a shell does so, then becomes the program.
  if (!existsSync(SHELL)) return programOf(spawnByNode(start, descriptors));
  const { file, name = file, args } = start;
  const shell = { file: SHELL, name: undefined, args: ["-c", ON_TERMINAL, device.name, name, file, ...args] };
  return programOf(spawnByNode({ ...start, ...shell }, descriptors));
}

function spawnNatively(
  spawner: Spawner,
  start: ProgramStart,
  descriptors: readonly [number, number, number],
  terminal: string | undefined,
): Program {
  const { name = start.file, args, environment } = start;
  return spawner({
    file: locate(start),
    argv: [name, ...args].map(bytesOf),
    environment: Object.entries(environment).map(([key, value]) =>
      Buffer.concat([Buffer.from(`${key}=`), bytesOf(value)]),
    ),
    directory: Buffer.from(start.directory),
    descriptors,
    terminal: terminal === undefined ? undefined : Buffer.from(terminal),
  });
}

/**
 * As execvp(3), by the program's own PATH; an empty or relative entry of it is in the program's directory. A file that may not be
 * executed is passed over, and if no other is found, it is the reason.
 */
function locate({ file, directory, environment }: ProgramStart): Uint8Array {
  if (file.includes("/")) return Buffer.from(file);
  if (file === "") throw systemError("find a program without a name", "ENOENT");
  let isForbidden = false;
  // One character for each byte, since names of files need not be text.
  for (const place of latin1(environment["PATH"] ?? DEFAULT_PATH).split(":")) {
    const folder = place.startsWith("/") ? place : `${latin1(directory)}/${place}`;
    const path = Buffer.from(`${folder}/${latin1(file)}`, "latin1");
    if (isExecutable(path)) return path;
    isForbidden ||= isForbiddenPath(path);
  }
  if (isForbidden) throw systemError("execute the program in PATH", "EACCES");
  throw systemError("find the program in PATH", "ENOENT");
}

/** Whether the system refuses to execute what is there, or to look whether anything is. */
function isForbiddenPath(path: Buffer): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true; // a directory
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES";
  }
}

function spawnByNode(
  start: ProgramStart,
  stdio: readonly ["pipe", "pipe", "pipe"] | readonly [number, number, number],
): ChildProcess {
  const child = spawn(start.file, start.args.map(textOf), {
    argv0: start.name,
    cwd: start.directory,
    env: Object.fromEntries(Object.entries(start.environment).map(([name, value]) => [name, textOf(value)])),
    detached: true,
    stdio: [...stdio],
  });
  if (child.pid !== undefined) return child;
  child.once("error", () => undefined); // emitted later, too late for our caller, and carries no more than this error
  // Node makes no streams when it was out of descriptors, and only then.
  throw systemError("start the program", child.stdio === undefined ? "EMFILE" : reasonOf(start));
}

/** Node tells the reason of a failed start only later. */
function reasonOf(start: ProgramStart): string {
  const { file, directory } = start;
  try {
    accessSync(directory, constants.X_OK);
    if (file.includes("/")) accessSync(resolve(directory, file), constants.X_OK);
    else locate(start);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "EACCES";
  }
  return "EAGAIN";
}

/** Node reports a real-time signal as code 0, as it does success. */
function programOf(child: ChildProcess): Program {
  const exited = new Promise<ProgramExit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
  });
  return { pid: child.pid!, exited };
}

function bytesOf(argument: Argument): Uint8Array {
  return typeof argument === "string" ? Buffer.from(argument) : argument;
}

function latin1(argument: Argument): string {
  return Buffer.from(bytesOf(argument)).toString("latin1");
}

/** Throws a system error for bytes that are not UTF-8. */
function textOf(argument: Argument): string {
  if (typeof argument === "string") return argument;
  if (!isUtf8(argument)) throw systemError("pass bytes that are not UTF-8 to a program here", "EILSEQ");
  return Buffer.from(argument).toString();
}

function systemError(what: string, code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`cannot ${what}: ${code}`), { code });
}
