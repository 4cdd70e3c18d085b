/** Real `coder` processes in a topology: a server, agents, and sessions whose path is watched. */
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { until, within } from "./deadline.ts";
import type { Host } from "./topology.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
export const PORT = 3000;
/** Characters of a process's output that a failed test shows. */
const MAX_LOG = 20_000;
const SERVER_START_MS = 20_000;
/** Limit for a process to end after SIGTERM. */
const EXIT_MS = 10_000;

export interface DeploymentOptions {
  readonly host: Host;
  /** A private folder. */
  readonly folder: string;
  /** As peers reach it; default: the host's address, port 3000. */
  readonly accessUrl?: string;
  readonly flags: readonly string[];
}

/** One `coder server` with its first user logged in. */
export class Deployment {
  readonly url: string;
  readonly #options: DeploymentOptions;
  readonly #environment: NodeJS.ProcessEnv;
  #server: ChildProcess | undefined;
  #workspaces = 0;
  serverLog = "";

  constructor(options: DeploymentOptions) {
    this.#options = options;
    this.url = options.accessUrl ?? `http://${options.host.address}:${PORT}`;
    mkdirSync(options.folder, { recursive: true });
    this.#environment = {
      PATH: process.env["PATH"],
      HOME: options.folder,
      CODER_CONFIG_DIR: join(options.folder, "config"),
      CODER_FIRST_USER_PASSWORD: "a password for the lab",
    };
  }

  /** Starts the server, also again after `kill`, with the same state. */
  async start(): Promise<void> {
    const { host, folder, flags } = this.#options;
    const fixed = ["--http-address", `[::]:${PORT}`, "--access-url", this.url, "--cache-dir", join(folder, "server")];
    const server = host.spawn(process.execPath, [coder, "server", ...fixed, ...flags], {
      stdio: ["ignore", "ignore", "pipe"],
      env: this.#environment,
    });
    server.stderr!.on("data", (chunk: Buffer) => {
      this.serverLog = (this.serverLog + chunk.toString("utf8")).slice(-MAX_LOG);
    });
    const firstStart = this.#server === undefined;
    this.#server = server;
    const firstUser = ["--first-user-username", "lab", "--first-user-email", "lab@example.com"];
    const command = firstStart ? ["login", this.url, ...firstUser] : ["whoami"];
    const deadline = performance.now() + SERVER_START_MS;
    for (;;) {
      try {
        this.cli(host, ...command);
        return;
      } catch (error) {
        if (server.exitCode !== null || performance.now() > deadline)
          throw new Error(`the server at ${this.url}: no login within ${SERVER_START_MS} ms: ${this.serverLog}`, {
            cause: error,
          });
        await sleep(100); // the server does not listen yet
      }
    }
  }

  /** Kills the server without warning and does not restart it. */
  async kill(): Promise<void> {
    const server = this.#server!;
    if (server.exitCode !== null || server.signalCode !== null) return;
    const over = once(server, "exit");
    server.kill("SIGKILL");
    await within("the end of the killed server", EXIT_MS, over);
  }

  cli(host: Host, ...args: readonly string[]): string {
    return host.run(process.execPath, [coder, ...args], { env: this.#environment });
  }

  /** Runs `coder doctor`, which exits with 1 when something is wrong, and returns its output. */
  doctor(host: Host, agent: Agent): { healthy: boolean; causes: { code: string; severity: string; what: string }[] } {
    const args = [coder, "doctor", agent.workspace, "--output", "json"];
    try {
      return JSON.parse(host.run(process.execPath, args, { env: this.#environment }));
    } catch (error) {
      const { stdout } = error as { stdout?: string };
      if (stdout === undefined || !stdout.startsWith("{")) throw error;
      return JSON.parse(stdout);
    }
  }

  /** A new workspace with its agent on `host`. */
  startAgent(host: Host, agentUrl = this.url): Agent {
    const workspace = `demo${++this.#workspaces}`;
    const made = JSON.parse(
      this.cli(this.#options.host, "external-workspaces", "create", workspace, "--output", "json"),
    ) as { auth_token: string };
    const environment = { ...this.#environment, CODER_AGENT_URL: agentUrl, CODER_AGENT_TOKEN: made.auth_token };
    const child = host.spawn(process.execPath, [coder, "agent"], {
      stdio: ["ignore", "ignore", "pipe"],
      env: environment,
    });
    return new Agent(workspace, child);
  }

  /** `coder ssh` to the workspace from `host`. */
  openSession(host: Host, agent: Agent, command: string, ...flags: readonly string[]): Session {
    const child = host.spawn(process.execPath, [coder, "ssh", "-v", ...flags, agent.workspace, "--", command], {
      stdio: "pipe",
      env: this.#environment,
    });
    return new Session(child);
  }
}

export class Agent {
  readonly workspace: string;
  readonly child: ChildProcess;
  log = "";

  constructor(workspace: string, child: ChildProcess) {
    this.workspace = workspace;
    this.child = child;
    child.stderr!.on("data", (chunk: Buffer) => {
      this.log = (this.log + chunk.toString("utf8")).slice(-MAX_LOG);
    });
  }
}

export interface PathChange {
  readonly atMs: number;
  /** "relay <region>", or the peer's address and port. */
  readonly path: string;
}

/** One `coder ssh` process: its bytes, and the paths in its log. */
export class Session {
  readonly child: ChildProcess;
  readonly started = performance.now();
  readonly paths: PathChange[] = [];
  log = "";
  #rest = "";

  constructor(child: ChildProcess) {
    this.child = child;
    child.stderr!.on("data", (chunk: Buffer) => this.#readLog(chunk.toString("utf8")));
    // Its exit shows that it has ended; a late write adds nothing.
    child.stdin!.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "ECONNRESET") throw error;
    });
  }

  get path(): string | undefined {
    return this.paths.at(-1)?.path;
  }

  get direct(): boolean {
    return this.path !== undefined && !this.path.startsWith("relay");
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Waits for the first line of output, which shows that the workspace answers. */
  async firstOutput(limitMs: number): Promise<void> {
    const first = Promise.race([once(this.child.stdout!, "readable"), once(this.child, "exit")]);
    await within("the first output of coder ssh", limitMs, first).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}: ${this.log}`, { cause: error });
    });
    if (this.ended) throw new Error(`coder ssh ended before its first output: ${this.log}`);
  }

  /** Time from the start of the process until its path was direct. */
  async untilDirect(limitMs: number): Promise<number> {
    await until("a direct path", limitMs, () => {
      if (this.ended) throw new Error(`coder ssh ended: ${this.log}`);
      return this.direct;
    }).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}, now ${this.path ?? "none"}`, { cause: error });
    });
    return Math.round(this.paths.at(-1)!.atMs);
  }

  async stop(): Promise<void> {
    if (this.ended) return;
    const over = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await within("the end of coder ssh after SIGTERM", EXIT_MS, over);
  }

  /**
   * Sends `data` to a command that echoes it, both directions at the same time.
   *
   * @returns Milliseconds it took.
   * @throws When a byte differs from the one sent, or it takes longer than `limitMs`.
   */
  async echo(data: Uint8Array, limitMs: number): Promise<number> {
    const started = performance.now();
    const hash = createHash("sha256");
    let received = 0;
    const whole = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${received} of ${data.length} bytes back after ${limitMs} ms`)),
        limitMs,
      );
      this.child.stdout!.on("data", (chunk: Buffer) => {
        hash.update(chunk);
        received += chunk.length;
      });
      this.child.once("close", (code) => {
        clearTimeout(timer);
        if (code === 0) resolve();
        else reject(new Error(`coder ssh ended with ${code} after ${received} bytes: ${this.log}`));
      });
    });
    this.child.stdin!.end(data);
    await whole;
    const expected = createHash("sha256").update(data).digest("hex");
    if (received !== data.length || hash.digest("hex") !== expected)
      throw new Error(`${received} bytes came back of ${data.length}, or other bytes`);
    return Math.round(performance.now() - started);
  }

  #readLog(text: string): void {
    this.log = (this.log + text).slice(-MAX_LOG);
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const path = /path changed path="([^"]+)"/.exec(line)?.[1];
      if (path !== undefined) this.paths.push({ atMs: performance.now() - this.started, path });
    }
  }
}

/** Bytes of which every block differs from every other. */
export function testData(bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  for (let i = 0; i + 4 <= bytes; i += 4) data.writeUInt32LE(Math.imul(i + 1, 0x9e3779b1) >>> 0, i);
  return data;
}
