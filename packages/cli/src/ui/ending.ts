/**
 * How a command ends. A signal or a closed output cancels it once, so that it can clean up; then the process dies by that
 * signal itself, which is what tells a shell to end its loop. A second signal, or a clean-up that takes too long, ends it
 * without further ado.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import { renderUserError } from "../errors/present.ts";
import { CancelledError, EXIT, UserError } from "../errors/user-error.ts";

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGPIPE: 13, SIGTERM: 15 } as const;
type EndingSignal = keyof typeof SIGNALS;

/** How long a cancelled command may take to clean up. */
const GRACE_MS = 5_000;
/** How long a reader may take for what was printed before a signal. */
const LAST_WORDS_MS = 1_000;
/** A process that its own signal does not kill, such as process 1 of a container, exits with the shell's code for it. */
const SURVIVAL_MS = 1_000;

export interface EndingOptions {
  /** Has a clean-up of its own with its own limit, and a termination that is asked for is a success. */
  readonly service: boolean;
  /** SIGHUP is the command's own, to read files again. The end of its terminal, which is the same signal, still ends it. */
  readonly reloads?: boolean;
}

const restorers = new Set<() => void>();

/** Has something of the terminal put right even when the process is ended at once. Its input mode always is. */
export function whenEndedAtOnce(restore: () => void): Disposable {
  restorers.add(restore);
  return { [Symbol.dispose]: () => void restorers.delete(restore) };
}

export class Ending {
  readonly #service: boolean;
  readonly #reloads: boolean;
  /** Which of the standard streams were terminals at the start. */
  readonly #terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  readonly #cancel = new AbortController();
  readonly #listeners: (() => void)[] = [];
  #by: EndingSignal | undefined;
  #failure: UserError | undefined;
  #grace: NodeJS.Timeout | undefined;

  /** Watches from now on. */
  constructor(options: EndingOptions) {
    this.#service = options.service;
    this.#reloads = options.reloads === true;
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      const listener = (): void => this.#on(name);
      process.on(name, listener);
      this.#listeners.push(() => process.off(name, listener));
    }
    // Never removed: an error event without a listener is thrown.
    process.stdout.on("error", (error: NodeJS.ErrnoException) => this.#onOutputError(error));
    process.stderr.on("error", (error: NodeJS.ErrnoException) => {
      // A log that cannot be written is no reason to stop; a reader that went away is.
      if (error.code === "EPIPE") this.#onOutputError(error);
    });
  }

  /** Aborted with a {@link CancelledError} by signals and closed outputs, with the failure when output cannot be written. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  /** Ends the process once everything printed has left it. */
  async end(code: number): Promise<never> {
    // A signal from now on ends it by default: nothing is left to clean up.
    clearTimeout(this.#grace);
    for (const stop of this.#listeners) stop();
    if (this.#by === undefined || (this.#service && this.#by === "SIGTERM")) {
      await flushOutput();
      if (this.#failure === undefined) process.exit(code);
      process.stderr.write(`${renderUserError(this.#failure)}\n`, () => {
        process.exit(code === EXIT.ok || code === EXIT.cancelled ? EXIT.failure : code);
      });
      return new Promise(() => undefined);
    }
    await Promise.race([flushOutput(), sleep(LAST_WORDS_MS)]);
    return dieBy(this.#by);
  }

  #on(name: EndingSignal): void {
    if (name === "SIGHUP" && this.#reloads && !this.#terminalIsGone()) return;
    if (this.#by === undefined || this.#by === "SIGPIPE") {
      this.#cancelBy(name);
      return;
    }
    if (process.stdin.isTTY && process.stdin.isRaw) process.stdin.setRawMode(false);
    for (const restore of restorers) restore();
    void dieBy(name);
  }

  /** The system refuses every question about a terminal that was hung up, so that it looks like none. */
  #terminalIsGone(): boolean {
    return this.#terminals.some((descriptor) => !isatty(descriptor));
  }

  #onOutputError(error: NodeJS.ErrnoException): void {
    // The reader went away (`… | head`), or the terminal: the rest has no reader.
    const hangUp = error.code === "EIO" && process.stdout.isTTY;
    if (hangUp || error.code === "EPIPE" || error.code === "ECONNRESET") {
      this.#cancelBy(hangUp ? "SIGHUP" : "SIGPIPE");
      return;
    }
    this.#failure ??= new UserError("Cannot write to standard output", {
      why: error.code === "ENOSPC" ? "no space is left on the device" : error.message,
      code: "ERR_OUTPUT",
      cause: error,
    });
    this.#cancel.abort(this.#failure);
  }

  #cancelBy(name: EndingSignal): void {
    // A person's Ctrl-C counts more than the closed pipe that came with it.
    if (this.#by === undefined || name !== "SIGPIPE") this.#by = name;
    if (!this.#service) this.#grace ??= setTimeout(() => this.#on(name === "SIGPIPE" ? "SIGTERM" : name), GRACE_MS);
    this.#cancel.abort(new CancelledError(name));
  }
}

/** Resolves once everything printed has left the process, or cannot any more. */
async function flushOutput(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr]
      .filter((stream) => stream.errored === null && !stream.destroyed)
      .map((stream) => new Promise<void>((done) => stream.write("", () => done()))),
  );
}

/** Ends the process the way an unhandled signal does. */
function dieBy(name: EndingSignal): Promise<never> {
  const code = 128 + SIGNALS[name];
  if (process.platform === "win32") process.exit(code);
  // The runtime ignores SIGPIPE until it was listened for once; then the system's default is back.
  process.on(name, () => undefined);
  process.removeAllListeners(name);
  process.kill(process.pid, name);
  return new Promise(() => void setTimeout(() => process.exit(code), SURVIVAL_MS));
}
