/**
 * How a command ends. A signal or a closed output cancels it once, so that it can clean up; the process then dies by that signal,
 * so that a shell ends its loop. A second signal, or a clean-up that takes too long, ends it at once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import { renderUserError } from "../errors/present.ts";
import { CancelledError, EXIT, UserError } from "../errors/user-error.ts";

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGPIPE: 13, SIGTERM: 15 } as const;
type EndingSignal = keyof typeof SIGNALS;

/** Time limit for the clean-up of a cancelled command. */
const GRACE_MS = 5_000;
/** How long a reader has to take the output that preceded a signal. */
const LAST_WORDS_MS = 1_000;
/**
 * A process that its own signal does not kill, such as process 1 of a container, exits with the shell's code for that signal
 * after this time.
 */
const SURVIVAL_MS = 1_000;

export interface EndingOptions {
  /**
   * The command has a clean-up with its own limit, and a requested termination is a success. Without a terminal it is in the
   * background, and the end of someone's terminal is not its own: SIGHUP is ignored. After `nohup` the system would ignore it,
   * but Node resets ignored signals at its start.
   */
  readonly service: boolean;
  /**
   * SIGHUP makes the command read its files again. It still ends the command when its terminal is gone, which raises the same
   * signal.
   */
  readonly reloads?: boolean;
}

const restorers = new Set<() => void>();

/**
 * Registers a function that restores something of the terminal even when the process ends at once. Its input mode is always
 * restored.
 */
export function whenEndedAtOnce(restore: () => void): Disposable {
  restorers.add(restore);
  return { [Symbol.dispose]: () => void restorers.delete(restore) };
}

export class Ending {
  readonly #service: boolean;
  readonly #reloads: boolean;
  /** The standard streams that were terminals at the start; empty where SIGHUP ends the command in any case. */
  readonly #terminals: readonly number[];
  readonly #cancel = new AbortController();
  readonly #listeners: (() => void)[] = [];
  #by: EndingSignal | undefined;
  #failure: UserError | undefined;
  #grace: NodeJS.Timeout | undefined;

  /** Starts watching. */
  constructor(options: EndingOptions) {
    this.#service = options.service;
    this.#reloads = options.reloads === true;
    // The module of terminals takes a tenth of a start of Node to load.
    this.#terminals = options.service ? [0, 1, 2].filter((descriptor) => isatty(descriptor)) : [];
    for (const name of ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"] as const) {
      const listener = (): void => this.#on(name);
      process.on(name, listener);
      this.#listeners.push(() => process.off(name, listener));
    }
    // Never removed, because an error event without a listener is thrown.
    process.stdout.on("error", (error: NodeJS.ErrnoException) => this.#onOutputError(error));
    process.stderr.on("error", (error: NodeJS.ErrnoException) => {
      // A log that cannot be written is no reason to stop, but a closed reader is.
      if (error.code === "EPIPE") this.#onOutputError(error);
    });
  }

  /** Aborted with a {@link CancelledError} by signals and closed outputs, or with the failure when output cannot be written. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  /** Ends the process once all output has been written. */
  async end(code: number): Promise<never> {
    // From now on signals end the process at once: nothing is left to clean up.
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
    if (name === "SIGHUP" && this.#service && !this.#endsByHangUp()) return;
    if (this.#by === undefined || this.#by === "SIGPIPE") {
      this.#cancelBy(name);
      return;
    }
    if (process.stdin.isTTY && process.stdin.isRaw) process.stdin.setRawMode(false);
    for (const restore of restorers) restore();
    void dieBy(name);
  }

  /**
   * Of a service. One that reads its files again on SIGHUP ends only when its terminal was hung up: then every system call on it
   * fails as if it were no terminal.
   */
  #endsByHangUp(): boolean {
    if (!this.#reloads) return this.#terminals.length > 0;
    return this.#terminals.some((descriptor) => !isatty(descriptor));
  }

  #onOutputError(error: NodeJS.ErrnoException): void {
    // The reader (`… | head`) or the terminal is gone, so further output has no reader.
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
    // Ctrl-C takes precedence over the closed pipe that it caused.
    if (this.#by === undefined || name !== "SIGPIPE") this.#by = name;
    if (!this.#service) this.#grace ??= setTimeout(() => this.#on(name === "SIGPIPE" ? "SIGTERM" : name), GRACE_MS);
    this.#cancel.abort(new CancelledError(name));
  }
}

/** Resolves once all output has been written, or cannot be written any more. */
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
  // A signal calls none of those that wait for the end, such as the one that keeps compiled code.
  try {
    process.emit("exit", code);
  } catch {
    // Whatever a listener failed at, this signal ends the process.
  }
  // The runtime ignores SIGPIPE until a listener was added once; removing it restores the system's default.
  process.on(name, () => undefined);
  process.removeAllListeners(name);
  process.kill(process.pid, name);
  return new Promise(() => void setTimeout(() => process.exit(code), SURVIVAL_MS));
}
