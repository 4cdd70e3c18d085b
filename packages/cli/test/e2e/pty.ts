/** Runs a command of the built CLI, or another Node program, on a terminal of its own, as a user would. */
import { constants } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Pty } from "coder-agent/host/pty";
import { TerminalDevice } from "coder-agent/os/terminal-device";
import type { TerminalModes } from "coder-agent/os/termios";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");

export class PtyCommand {
  readonly #pty: Pty;
  /** All output so far, escape sequences included. */
  screen = "";
  /** The exit code; undefined while it runs. */
  code: number | undefined;

  constructor(
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    size = { rows: 24, cols: 80 },
    modes: TerminalModes = {},
    program = coder,
  ) {
    const device = new TerminalDevice();
    device.setModes(modes);
    const defined = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
    const options = {
      file: process.execPath,
      args: [program, ...args],
      directory: process.cwd(),
      environment: defined as Record<string, string>,
      size: { rows: size.rows, columns: size.cols },
    };
    this.#pty = new Pty(options, device);
    const decoder = new TextDecoder();
    this.#pty.stream.on("data", (data: Buffer) => {
      this.screen += decoder.decode(data, { stream: true });
    });
    void this.#pty.exited.then(({ code, signal }) => {
      this.code = code ?? 128 + (signal === undefined ? 0 : constants.signals[signal as NodeJS.Signals]);
    });
  }

  get pid(): number {
    return this.#pty.pid;
  }

  type(keys: string): void {
    this.#pty.stream.write(keys);
  }

  resize(rows: number, cols: number): void {
    this.#pty.resize({ rows, columns: cols });
  }

  kill(signal: NodeJS.Signals): void {
    if (this.code === undefined) process.kill(this.#pty.pid, signal);
  }

  /** Closes the terminal, as closing its window does. */
  hangUp(): void {
    this.#pty.close();
  }

  /** Waits until the screen shows it. */
  async sees(pattern: RegExp): Promise<RegExpExecArray> {
    const until = Date.now() + 40_000;
    for (;;) {
      const found = pattern.exec(this.screen);
      if (found !== null) return found;
      if (Date.now() > until) throw new Error(`${pattern} is not on the screen: ${JSON.stringify(this.screen)}`);
      await sleep(20);
    }
  }

  async ended(): Promise<number> {
    const until = Date.now() + 40_000;
    while (this.code === undefined) {
      if (Date.now() > until) throw new Error(`it does not end: ${JSON.stringify(this.screen)}`);
      await sleep(20);
    }
    return this.code;
  }
}
