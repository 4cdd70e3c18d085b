/**
 * Processor time of the ProxyCommands of a configuration of OpenSSH. `ssh` does not wait for them, so their time is not counted
 * among ended children; a shell around each one writes down what it used.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const ENDED_WITHIN_MS = 5_000;

export class ProxyUsage {
  readonly #folder: string;
  readonly #script: string;

  /** @param folder Where its files go. */
  constructor(folder: string) {
    this.#folder = join(folder, "proxies");
    this.#script = join(folder, "proxy.sh");
    mkdirSync(this.#folder);
    // ssh ends the command by SIGHUP, after which it still has to write its times.
    const lines = [`note=${this.#folder}/$$`, "trap : HUP", ": > $note", '"$@"', "times > $note.ended", "rm $note"];
    writeFileSync(this.#script, `${lines.join("\n")}\n`);
  }

  /** The configuration with every ProxyCommand observed. */
  observed(config: string): string {
    return config.replace(/^(\s*ProxyCommand )/gm, `$1bash ${this.#script} `);
  }

  /** Seconds that the commands used since the last call, once all have ended. */
  async take(): Promise<number> {
    for (const end = performance.now() + ENDED_WITHIN_MS; performance.now() < end; await sleep(10)) {
      if (readdirSync(this.#folder).every((name) => name.endsWith(".ended"))) break;
    }
    return readdirSync(this.#folder).reduce((sum, name) => {
      const path = join(this.#folder, name);
      const used = secondsOf(readFileSync(path, "utf8"));
      rmSync(path);
      return sum + used;
    }, 0);
  }
}

/** `times` of a POSIX shell: its own line, then that of its children. "0m0.120s 0m0.040s" each. */
export function secondsOf(times: string): number {
  return Array.from(times.matchAll(/(\d+)m([\d.]+)s/g)).reduce(
    (sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds),
    0,
  );
}
