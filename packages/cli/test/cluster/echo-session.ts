import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestCluster } from "./test-cluster.ts";

/** A session that echoes numbered lines until it is ended. */
export class EchoSession {
  readonly #child: ChildProcess;
  readonly #writing: NodeJS.Timeout;
  #sent = 0;
  #text = "";
  #stderr = "";

  constructor(cluster: TestCluster, workspace: string, extra: NodeJS.ProcessEnv = {}) {
    this.#child = cluster.spawn(["ssh", workspace, "--", "cat"], extra);
    this.#child.stdout!.on("data", (chunk) => {
      this.#text += String(chunk);
    });
    this.#child.stderr!.on("data", (chunk) => {
      this.#stderr += String(chunk);
    });
    this.#child.stdin!.on("error", () => undefined); // the session has ended, which `returned` reports
    this.#writing = setInterval(() => this.#child.stdin!.write(`line ${this.#sent++}\n`), 50);
    this.#child.once("close", () => clearInterval(this.#writing));
  }

  /** Number of lines that came back. Throws when one is missing, repeated or out of order, or when the session has ended. */
  get returned(): number {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null)
      throw new Error(`the session ended with ${exitCode ?? signalCode}: ${this.#stderr}`);
    const lines = this.#text.split("\n").slice(0, -1);
    const wrong = lines.findIndex((line, i) => line !== `line ${i}`);
    if (wrong >= 0) throw new Error(`line ${wrong} came back as "${lines[wrong]}"`);
    return lines.length;
  }

  /** Resolves once `more` further lines have come back. */
  async goesOn(more: number, withinMs = 120_000): Promise<void> {
    const wanted = this.returned + more;
    for (const end = performance.now() + withinMs; performance.now() < end; await sleep(50))
      if (this.returned >= wanted) return;
    throw new Error(`only ${this.returned} of ${wanted} lines came back: ${this.#stderr}`);
  }

  /** Checks that everything sent came back and that the program ends with success. */
  async end(): Promise<void> {
    clearInterval(this.#writing);
    this.#child.stdin!.end();
    if (this.#child.exitCode === null) await once(this.#child, "close");
    const lines = this.#text.split("\n").slice(0, -1);
    if (this.#child.exitCode !== 0) throw new Error(`the session ended with ${this.#child.exitCode}: ${this.#stderr}`);
    if (lines.length !== this.#sent) throw new Error(`${lines.length} of ${this.#sent} lines came back`);
  }
}
