/** iperf3 between two namespaces: a measurement without any of our code. */
import { type ChildProcess, execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Direction, Hosts } from "./streams.ts";

const READY_WITHIN_MS = 5_000;
/** Not counted: iperf3 supports whole seconds only. */
const WARM_UP_SECONDS = 1;

interface Report {
  readonly error?: string;
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
}

export class Iperf {
  readonly #hosts: Hosts;
  readonly #to: string;
  readonly #server: ChildProcess;

  /**
   * The server runs on the right host until the returned object is closed. @param to Its address as the left host
   * reaches it.
   */
  constructor(hosts: Hosts, to: string) {
    this.#hosts = hosts;
    this.#to = to;
    this.#server = hosts.right.start("iperf3", "-s");
    this.#server.stdout!.resume();
  }

  /** Gbit/s as the receiver counts. "up": from the left host. */
  async measure(direction: Direction, seconds: number): Promise<number> {
    const counted = Math.max(1, Math.round(seconds));
    const args = ["-c", this.#to, "-J", "-t", String(counted), "-O", String(WARM_UP_SECONDS)];
    if (direction === "down") args.push("-R");
    const timeout = (counted + WARM_UP_SECONDS) * 1000 + 20_000;
    for (const end = performance.now() + READY_WITHIN_MS; ; await sleep(100)) {
      const { error, end: sums } = await this.#run(args, timeout);
      if (error === undefined) return sums.sum_received.bits_per_second / 1e9;
      if (this.#server.exitCode !== null || performance.now() > end) throw new Error(`iperf3: ${error}`);
    }
  }

  async #run(args: readonly string[], timeout: number): Promise<Report> {
    const command = ["netns", "exec", this.#hosts.left.name, "iperf3", ...args];
    const stdout = await promisify(execFile)("ip", command, { timeout }).then(
      (done) => done.stdout,
      (error: Error & { stdout?: string }) => error.stdout || JSON.stringify({ error: error.message }),
    );
    return JSON.parse(stdout) as Report;
  }
}
