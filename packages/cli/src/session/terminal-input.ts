/** The person's side of an interactive session: raw keys, escapes, window size, and the terminal as before at the end. */
import type { Readable, Writable } from "node:stream";
import { lenderOf } from "wg-userspace/io/sockets/owned-buffers";
import { printable } from "../base/text.ts";
import { ESCAPE_HELP, EscapeFilter } from "./escape-filter.ts";

export interface LocalTerminal {
  readonly stdin: Readable & { setRawMode?: (raw: boolean) => unknown; isTTY?: boolean; fd?: number };
  readonly stdout: Writable & { columns?: number; rows?: number };
  readonly stderr: Writable;
}

export interface InputTarget {
  /**
   * False: no more until the listener of {@link onceDrained} is called.
   * @param written To be called when the bytes are not read any more; without the call they are merely collected later.
   */
  write(bytes: Uint8Array, written: () => void): boolean;
  onceDrained(listener: () => void): void;
  end(): void;
  resize(rows: number, columns: number): void;
}

export interface TerminalInputOptions {
  readonly terminal: LocalTerminal;
  readonly target: InputTarget;
  /** The far side is on a terminal: its size follows ours, and keys go there one by one. */
  readonly pty: boolean;
  /** Words for `~#`. */
  readonly describeConnection: () => string;
  /** `~.` was typed. */
  readonly onLeave: () => void;
}

export function windowSize(stdout: LocalTerminal["stdout"]): { rows: number; columns: number } {
  return { rows: stdout.rows ?? 24, columns: stdout.columns ?? 80 };
}

/** Whether keys are passed on one by one, and `~` escapes are known. */
export function isRaw({ stdin }: LocalTerminal, pty: boolean): boolean {
  return pty && stdin.isTTY === true && stdin.setRawMode !== undefined;
}

/** Begins to read. Returns the way to stop, after which the terminal is as before; safe to call twice. */
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
  const onResize = (): void => {
    const { rows, columns } = windowSize(stdout);
    target.resize(rows, columns);
  };
  const suspend = (): void => {
    if (process.platform === "win32") return; // it has no job control
    stdin.setRawMode?.(false);
    process.once("SIGCONT", () => stdin.setRawMode?.(true));
    process.kill(process.pid, "SIGTSTP");
  };
  if (raw) stdin.setRawMode?.(true);
  if (pty) stdout.on("resize", onResize);
  stdin.on("data", onData);
  stdin.on("end", onEnd);
  let stopped = false;
  return () => {
    if (stopped) return;
    stopped = true;
    stdin.off("data", onData);
    stdin.off("end", onEnd);
    stdin.pause();
    if (raw) stdin.setRawMode?.(false);
    stdout.off("resize", onResize);
  };
}

/** Output that a slow reader has not taken yet must not be cut off by the end of the process. */
export async function flushed(...streams: readonly Writable[]): Promise<void> {
  await Promise.all(streams.map((stream) => new Promise<void>((done) => stream.write("", () => done()))));
}
