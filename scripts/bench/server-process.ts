/** A real `coder server` of a bench, which can be ended and started again on the same store. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { endProcess } from "./processes.ts";
import { coder } from "./system.ts";

const READY_WITHIN_MS = 60_000;
const ANSWER_WITHIN_MS = 30_000;
/** Longer than a server takes to drain. */
const STOP_WITHIN_MS = 60_000;
/**
 * Every peer of a bench states an address of its own, as behind a proxy: one address may have only a share of the connections.
 */
const BEHIND_A_PROXY = ["--proxy-trusted-headers", "X-Forwarded-For", "--proxy-trusted-origins", "127.0.0.1/32"];

export interface EventLoop {
  readonly lagP99Ms: number;
  readonly lagMaxMs: number;
}

export interface ServerOptions {
  readonly port: number;
  readonly arguments: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly profileFolder?: string | undefined;
}

export class ServerProcess implements AsyncDisposable {
  readonly url: string;
  readonly #options: ServerOptions;
  #child: ChildProcess | undefined;
  #said = "";

  constructor(options: ServerOptions) {
    this.url = `http://127.0.0.1:${options.port}`;
    this.#options = options;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** The end of what it printed. */
  get said(): string {
    return this.#said;
  }

  async start(): Promise<void> {
    const { port, profileFolder, environment } = this.#options;
    const flags = ["--import", pathToFileURL(join(import.meta.dirname, "event-loop-probe.ts")).href];
    if (profileFolder !== undefined)
      flags.push("--cpu-prof", `--cpu-prof-dir=${profileFolder}`, "--cpu-prof-interval=500");
    const args = ["--http-address", `127.0.0.1:${port}`, ...BEHIND_A_PROXY, ...this.#options.arguments];
    const child = spawn(process.execPath, [...flags, coder, "server", ...args], {
      env: { ...environment, CODER_STUN_ADDRESS: "disable", CODER_DERP_SERVER_STUN_ADDRESSES: "disable" },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#child = child;
    const keep = (chunk: Buffer): void => {
      this.#said = (this.#said + chunk.toString("utf8")).slice(-4_000);
    };
    child.stdout!.on("data", keep);
    child.stderr!.on("data", keep);
    for (const end = performance.now() + READY_WITHIN_MS; ; await sleep(20)) {
      const up = await fetch(`${this.url}/readyz`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (up) return;
      if (performance.now() > end || child.exitCode !== null)
        throw new Error(`the control plane did not become ready: ${this.#said}`);
    }
  }

  /** Like a crash; a profiled server is stopped in order, because only then is its profile written. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    await endProcess(child, () => child.kill(this.#options.profileFolder === undefined ? "SIGKILL" : "SIGTERM"));
  }

  /** Stops it by SIGTERM, with time to drain. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit", { signal: AbortSignal.timeout(STOP_WITHIN_MS) });
    child.kill("SIGTERM");
    await exited;
  }

  /** Statistics of its event loop since the last request with "reset". */
  async eventLoop(ask: "read" | "reset"): Promise<EventLoop> {
    const answered = once(this.#child!, "message", { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    this.#child!.send(ask);
    return ((await answered) as [EventLoop])[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
