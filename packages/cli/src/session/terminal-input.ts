/** The local side of an interactive session: raw keys, escapes, window size, and restoring the terminal at the end. */
import type { Readable, Writable } from "node:stream";
import { showUnchanged, windowPixels } from "coder-agent/os/terminal-device";
import { lenderOf } from "wg-userspace/io/sockets/owned-buffers";
import { showsUnchanged } from "../base/line-ends.ts";
import { printable } from "../base/text.ts";
import { ESCAPE_HELP, EscapeFilter } from "./escape-filter.ts";

export interface LocalTerminal {
  readonly stdin: Readable & { setRawMode?: (raw: boolean) => unknown; isTTY?: boolean; fd?: number };
  readonly stdout: Writable & { columns?: number; rows?: number; fd?: number };
  readonly stderr: Writable;
}

export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
  /** The whole window in pixels; 0 when unknown. */
  readonly width: number;
  readonly height: number;
}

export interface InputTarget {
  /**
   * False: write no more until the listener of {@link onceDrained} is called.
   * @param written Call it when the bytes are no longer needed; without the call they are freed later.
   */
  write(bytes: Uint8Array, written: () => void): boolean;
  onceDrained(listener: () => void): void;
  end(): void;
  resize(size: WindowSize): void;
}

export interface TerminalInputOptions {
  readonly terminal: LocalTerminal;
  readonly target: InputTarget;
  /** The remote side has a terminal: its size follows ours, and keys are sent one by one. */
  readonly pty: boolean;
  /** The text for `~#`. */
  readonly describeConnection: () => string;
  /** `~.` was typed. */
  readonly onLeave: () => void;
}

export function windowSize({ rows = 24, columns = 80, fd }: LocalTerminal["stdout"]): WindowSize {
  return { rows, columns, ...(fd === undefined ? NO_PIXELS : windowPixels(fd)) };
}

const NO_PIXELS = { width: 0, height: 0 };

/** Whether keys are sent one by one and `~` escapes are recognised. */
export function isRaw({ stdin }: LocalTerminal, pty: boolean): boolean {
  return pty && stdin.isTTY === true && stdin.setRawMode !== undefined;
}

/** Starts reading. Returns a function that stops it and restores the terminal; it may be called twice. */
export function readTerminal(options: TerminalInputOptions): () => void {
  const { target, pty } = options;
  const { stdin, stdout, stderr } = options.terminal;
  const raw = isRaw(options.terminal, pty);
  const giveBack = lenderOf(stdin);
  const escapes = new EscapeFilter((action) => {
    if (action === "help") stderr.write(`\r\n${ESCAPE_HELP}\r\n`);
    else if (action === "status") stderr.write(`\r\n${printable(options.describeConnection())}\r\n`);
    else if (action === "suspend") suspend();
    else options.onLeave();
  });
  const onData = (typed: Buffer): void => {
    const bytes = raw ? escapes.feed(typed) : typed;
    if (bytes.length > 0 && !target.write(bytes, () => giveBack?.(typed))) {
      stdin.pause();
      target.onceDrained(() => stdin.resume());
    }
  };
  const onEnd = (): void => target.end();
  // Such as EBADF below nohup, whose standard input is open for writing only, or EIO once the terminal is gone.
  const onError = (): void => {
    if (!stopped) target.end();
  };
  const onResize = (): void => target.resize(windowSize(stdout));
  // The workspace's terminal has processed the output already.
  const enterRaw = (): void => {
    stdin.setRawMode?.(true);
    if (stdin.fd !== undefined) showUnchanged(stdin.fd);
    showsUnchanged(true);
  };
  const leaveRaw = (): void => {
    stdin.setRawMode?.(false);
    showsUnchanged(false);
  };
  const suspend = (): void => {
    if (process.platform === "win32") return; // Windows has no job control
    leaveRaw();
    process.once("SIGCONT", enterRaw);
    process.kill(process.pid, "SIGTSTP");
  };
  let stopped = false;
  if (raw) enterRaw();
  if (pty) stdout.on("resize", onResize);
  stdin.on("data", onData);
  stdin.on("end", onEnd);
  stdin.on("error", onError); // stays: without a listener a late one would end the process
  return () => {
    if (stopped) return;
    stopped = true;
    stdin.off("data", onData);
    stdin.off("end", onEnd);
    stdin.pause();
    if (raw) leaveRaw();
    stdout.off("resize", onResize);
  };
}

/** The end of the process must not cut off output that a slow reader has not taken yet. */
export async function flushed(...streams: readonly Writable[]): Promise<void> {
  await Promise.all(streams.map((stream) => new Promise<void>((done) => stream.write("", () => done()))));
}
