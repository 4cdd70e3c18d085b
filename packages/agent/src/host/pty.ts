/** Programs on a pseudo-terminal. Their output is read to the end before the terminal closes. */
import type { SocketConstructorOpts } from "node:net";
import { ReadStream } from "node:tty";
import { libc } from "../os/libc.ts";
import { type Argument, type Program, type ProgramExit, type ProgramStart, startOnTerminal } from "../os/spawn.ts";
import { TerminalDevice, type WindowSize } from "../os/terminal-device.ts";

export interface PtyOptions extends ProgramStart {
  readonly size: WindowSize;
  /** Variable that receives the terminal's device name. */
  readonly ttyVariable?: string;
}

/** Interval at which, after the exit, background programs that hold the terminal are checked for silence. */
const LOOK_EVERY_MS = 50;
/** This many silent checks in a row end the wait. */
const SILENT_LOOKS = 2;
/** A check that runs later than this does not count: on a busy machine the output may be late for the same reason. */
const LATE_MS = 20;

/** Whether this machine can create terminals, and the reason if it cannot. */
export function ptyAvailability():
  | { readonly available: true }
  | { readonly available: false; readonly reason: string } {
  const library = libc();
  return library instanceof Error ? { available: false, reason: library.message } : { available: true };
}

/** A program that leads its own kernel session on a terminal. */
export class Pty {
  readonly pid: number;
  /** Device of the program's side, for example `/dev/pts/3`. */
  readonly name: string;
  /** Resolves when the program has ended; some output may not have been read yet. */
  readonly ended: Promise<ProgramExit>;
  /** Resolves once the program has ended and its output has been read. */
  readonly exited: Promise<ProgramExit>;
  /** Master side: program output to read, keystrokes to write; honours back-pressure both ways. Never emits `error`. */
  readonly stream: ReadStream;
  readonly #device: TerminalDevice;

  /**
   * Throws when no terminal can be created or the program cannot be started.
   * @param device Owned; created when absent.
   */
  constructor(options: PtyOptions, device: TerminalDevice = new TerminalDevice()) {
    let program: Program;
    try {
      device.resize(options.size);
      program = start(options, device);
    } catch (error) {
      device.close();
      throw error;
    }
    this.#device = device;
    this.pid = program.pid;
    this.name = device.name;
    this.ended = program.exited;
    // A program may close its terminal a moment before it exits. If ours were then the only open descriptor, the kernel would end
    // our reads, closing would hang up, and the program's exit status would be SIGHUP.
    void this.ended.then(() => device.closeProgramSide());
    // No read-ahead: the kernel reports the end of a terminal as an error, which discards what a paused stream holds.
    const noReadAhead: SocketConstructorOpts & { readableHighWaterMark: number } = { readableHighWaterMark: 0 };
    this.stream = new ReadStream(device.master, noReadAhead);
    device.releaseMaster();
    const closed = new Promise<void>((resolve) => this.stream.on("close", resolve));
    this.stream.on("error", () => this.stream.destroy()); // EIO: no program has the terminal open any more
    this.stream.on("end", () => this.stream.destroy());
    this.exited = this.ended.then(async (result) => {
      await this.#readRest(closed);
      return result;
    });
  }

  resize(size: WindowSize): void {
    if (!this.stream.destroyed) this.#device.resize(size);
  }

  /** Hangs up: the kernel sends SIGHUP to the session's leader and foreground job. */
  close(): void {
    this.stream.destroy();
  }

  /**
   * The kernel ends our reads once no program has the terminal open and all output was read. Background programs may
   * keep it open indefinitely; then silence ends the wait. Time spent waiting for the client does not count as silence.
   */
  async #readRest(ended: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const quiet = new Promise<void>((resolve) => {
      let bytes = -1;
      let silentLooks = 0;
      let due = performance.now() + LOOK_EVERY_MS;
      timer = setInterval(() => {
        if (this.stream.destroyed || this.#device.isHungUp === true) return;
        const now = performance.now();
        const stalled = this.stream.isPaused() || this.stream.readableFlowing !== true;
        const isSilent = this.stream.bytesRead === bytes && !stalled && now - due < LATE_MS;
        bytes = this.stream.bytesRead;
        due = now + LOOK_EVERY_MS;
        silentLooks = isSilent ? silentLooks + 1 : 0;
        if (silentLooks === SILENT_LOOKS) resolve();
      }, LOOK_EVERY_MS);
    });
    await Promise.race([ended, quiet]);
    clearInterval(timer);
    this.stream.destroy();
  }
}

function start(options: PtyOptions, device: TerminalDevice): Program {
  const environment: Record<string, Argument> = { ...options.environment, PWD: options.directory };
  if (options.ttyVariable !== undefined) environment[options.ttyVariable] = device.name;
  return startOnTerminal({ ...options, environment }, device);
}
