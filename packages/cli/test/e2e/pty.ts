/** A command of the built CLI on a terminal of its own, as a person has it. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { spawn } from "@lydell/node-pty";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");

export class PtyCommand {
  readonly #pty: ReturnType<typeof spawn>;
  /** Everything on the screen so far, escape sequences included. */
  screen = "";
  /** The exit code; undefined while it runs. */
  code: number | undefined;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, size = { rows: 24, cols: 80 }) {
    const defined = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
    this.#pty = spawn(process.execPath, [coder, ...args], { ...size, env: defined as Record<string, string> });
    this.#pty.onData((data) => {
      this.screen += data;
    });
    this.#pty.onExit(({ exitCode }) => {
      this.code = exitCode;
    });
  }

  get pid(): number {
    return this.#pty.pid;
  }

  type(keys: string): void {
    this.#pty.write(keys);
  }

  resize(rows: number, cols: number): void {
    this.#pty.resize(cols, rows);
  }

  kill(signal: NodeJS.Signals): void {
    if (this.code === undefined) this.#pty.kill(signal);
  }

  /** Waits for it on the screen. */
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
