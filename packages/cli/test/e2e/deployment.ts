/** A whole deployment on loopback of real processes of the built CLI: server, agent, commands. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
export const PASSWORD = "a password for tests";

const START_MS = 30_000;
const START_TRIES = 5;

/** Another program on this machine took the port that was free a moment ago. */
class PortTaken extends Error {}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class TestDeployment {
  readonly folder = mkdtempSync(join(tmpdir(), "coder-e2e-"));
  url: string;
  /** The server process that was started last. */
  server: ChildProcess | undefined;
  readonly #port: number;
  readonly #node: string;
  readonly #serverFlags: readonly string[];
  readonly #children = new Set<ChildProcess>();
  #environment: NodeJS.ProcessEnv = {};

  /**
   * @param front Puts something in front of the server, which listens on `port`. Returns the URL for all clients, and variables
   *   that all commands need to pass it. Called again if another program took the port; the caller ends what it started.
   * @param node Program that runs the command.
   * @param serverFlags Further flags of the server.
   */
  static async start(
    front?: (port: number, folder: string) => Promise<string | { url: string; environment: NodeJS.ProcessEnv }>,
    node = process.execPath,
    serverFlags: readonly string[] = [],
  ): Promise<TestDeployment> {
    if (!existsSync(coder)) throw new Error("the CLI is not built: run npm run build");
    for (let tries = 1; ; tries++) {
      const deployment = new TestDeployment(await freePort(), node, serverFlags);
      try {
        if (front !== undefined) {
          const made = await front(deployment.#port, deployment.folder);
          deployment.url = typeof made === "string" ? made : made.url;
          deployment.#environment = typeof made === "string" ? {} : made.environment;
        }
        await deployment.startServer();
        await deployment.logIn("owner", true);
        return deployment;
      } catch (error) {
        await deployment.close();
        if (!(error instanceof PortTaken) || tries === START_TRIES) throw error;
      }
    }
  }

  private constructor(port: number, node: string, serverFlags: readonly string[]) {
    this.#serverFlags = serverFlags;
    this.#port = port;
    this.#node = node;
    this.url = `http://127.0.0.1:${port}`;
    mkdirSync(join(this.folder, "home"));
  }

  /** Environment of a user's commands: their own configuration and nothing of the tester's. */
  environment(user = "owner", extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return {
      PATH: process.env["PATH"],
      HOME: join(this.folder, "home"),
      TERM: "xterm-256color",
      CODER_CONFIG_DIR: join(this.folder, "config", user),
      ...this.#environment,
      ...extra,
    };
  }

  async startServer(): Promise<ChildProcess> {
    const server = this.spawn(
      [
        "server",
        "--http-address",
        `127.0.0.1:${this.#port}`,
        "--access-url",
        this.url,
        "--cache-dir",
        join(this.folder, "server"),
        // The server contacts nothing outside this machine, and parallel deployments share no port.
        "--stun-address",
        "disable",
        "--derp-server-stun-addresses",
        "disable",
        ...this.#serverFlags,
      ],
      {},
    );
    this.server = server;
    let log = "";
    server.stderr!.on("data", (chunk) => {
      log += String(chunk);
    });
    let greeting = "";
    server.stdout!.on("data", (chunk) => {
      if (!greeting.includes("State: ")) greeting += String(chunk);
    });
    // Waits for the server's own log line, because another program may answer at its port.
    for (const end = performance.now() + START_MS; performance.now() < end; await sleep(20)) {
      if (greeting.includes("State: ")) return server;
      if (server.exitCode !== null) break;
    }
    if (log.includes("ERR_PORT_IN_USE")) throw new PortTaken(log);
    throw new Error(`the server did not start: ${log}`);
  }

  async logIn(user: string, first = false): Promise<void> {
    const done = await this.run(
      [
        "login",
        this.url,
        "--email",
        `${user}@example.com`,
        ...(first ? ["--first-user-username", user, "--first-user-email", `${user}@example.com`] : []),
      ],
      { user, environment: { CODER_FIRST_USER_PASSWORD: PASSWORD, CODER_LOGIN_PASSWORD: PASSWORD } },
    );
    if (done.code !== 0) throw new Error(done.stderr);
  }

  /** Creates a member and logs it in. */
  async addMember(user: string): Promise<void> {
    const answer = await this.api("POST", "/api/v2/users", {
      email: `${user}@example.com`,
      username: user,
      password: PASSWORD,
      login_type: "password",
      user_status: "active",
    });
    if (answer.status !== 201) throw new Error(await answer.text());
    await this.logIn(user);
  }

  /** Sends a request of the owner directly to the server, because Node resolves no names below localhost. */
  async api(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(`${this.directUrl}${path}`, {
      method,
      headers: { "Coder-Session-Token": this.ownerToken, "Content-Type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
    });
  }

  /** Session token of the deployment's owner. */
  get ownerToken(): string {
    return readFileSync(join(this.folder, "config/owner/session"), "utf8").trim();
  }

  /** Registers a workspace and returns its agent's token. */
  async createWorkspace(name: string, user = "owner"): Promise<string> {
    const made = await this.run(["external-workspaces", "create", name, "--output", "json"], { user });
    if (made.code !== 0) throw new Error(made.stderr);
    return (JSON.parse(made.stdout) as { auth_token: string }).auth_token;
  }

  startAgent(token: string, extra: NodeJS.ProcessEnv = {}): ChildProcess {
    return this.spawn(["agent"], {
      CODER_AGENT_URL: this.url,
      CODER_AGENT_TOKEN: token,
      CODER_CONFIG_DIR: undefined,
      ...extra,
    });
  }

  /** URL of the server itself, without what is in front of it. */
  get directUrl(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  spawn(args: readonly string[], extra: NodeJS.ProcessEnv, user = "owner"): ChildProcess {
    return this.#own(
      spawn(this.#node, [coder, ...args], {
        env: this.environment(user, extra),
        stdio: ["pipe", "pipe", "pipe"],
      }),
    );
  }

  /** Starts a Node script that ends with the deployment. */
  spawnProgram(script: string): ChildProcess {
    return this.spawnCommand(process.execPath, ["-e", script]);
  }

  /** Starts a program that ends with the deployment. */
  spawnCommand(command: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): ChildProcess {
    const env = { ...process.env, ...environment };
    return this.#own(spawn(command, args, { env, stdio: ["ignore", "pipe", "inherit"] }));
  }

  /** Runs a command until it ends. */
  async run(
    args: readonly string[],
    options: { user?: string; environment?: NodeJS.ProcessEnv; input?: string | Buffer } = {},
  ): Promise<Finished> {
    const child = this.spawn(args, options.environment ?? {}, options.user);
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout!.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr!.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin!.on("error", () => undefined); // a command that reads nothing closes it
    child.stdin!.end(options.input ?? "");
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout: Buffer.concat(stdout).toString("utf8"), stderr: Buffer.concat(stderr).toString("utf8") };
  }

  #own(child: ChildProcess): ChildProcess {
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  write(name: string, content: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  async close(): Promise<void> {
    for (const child of [...this.#children]) {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 8_000);
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      clearTimeout(late);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
