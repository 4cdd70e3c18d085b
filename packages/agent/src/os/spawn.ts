/** Starts programs with only the descriptors that they are given, and on real pipes. */
import { type ChildProcess, type IOType, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { libc } from "./libc.ts";

export interface ProgramStart {
  readonly file: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Descriptors 0, 1 and 2; `pipe` makes a stream for us. */
type Stdio<In extends IOType | number, Out extends IOType | number> = readonly [stdin: In, stdout: Out, stderr: Out];

/** Starts a program that leads its own kernel session. Failures are its `error` event, as with Node's spawn. */
export function startProgram(start: ProgramStart, stdio: Stdio<IOType | number, IOType | number>): ChildProcess {
  const library = libc();
  // Programs must not get descriptors that other code of this process, or its parent, left open.
  if (!(library instanceof Error)) library.sealDescriptors();
  return spawn(start.file, start.args, {
    cwd: start.directory,
    env: start.environment,
    detached: true,
    stdio: [...stdio],
  });
}

export interface PipedProgram {
  readonly process: ChildProcess;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

/**
 * Starts a program on three pipes. Node's own "pipes" are socket pairs, which no program can reopen as `/dev/stdin` or
 * `/proc/self/fd/1`. Throws a system error when no descriptors are left.
 */
export function startOnPipes(start: ProgramStart): PipedProgram {
  const library = libc();
  if (library instanceof Error) {
    const child = startProgram(start, ["pipe", "pipe", "pipe"]);
    return { process: child, stdin: child.stdin!, stdout: child.stdout!, stderr: child.stderr! };
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
    const child = startProgram(start, [input, output, errors]);
    return {
      process: child,
      stdin: own(stdin, { readable: false, writable: true }),
      stdout: own(stdout, { readable: true, writable: false }),
      stderr: own(stderr, { readable: true, writable: false }),
    };
  } finally {
    // The program has its ends, or could not be started.
    for (const end of held) closeSync(end);
  }
}

/** Resolves when the program runs, rejects with the reason when it could not be started. */
export function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
}
