/** Three servers on one PostgreSQL behind a balancer, an agent, and commands: real processes of the built CLI on loopback. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.ts";
import { EchoSession } from "./echo-session.ts";
import { startPostgres, type TestPostgres } from "./postgres-server.ts";
import { Balancer, Path } from "./tcp-relays.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const PASSWORD = "a password for tests";
const READY_MS = 120_000;

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the servers connect to instead of PostgreSQL itself. */
interface Database {
  readonly url: string;
  close(): Promise<void>;
}

interface ClusterOptions {
  readonly servers: number;
  /** The folder of PostgreSQL's programs. */
  readonly binaries: string;
  readonly database?: (postgres: TestPostgres) => Promise<Database>;
  /** Node arguments of one server. */
  readonly nodeArguments?: (index: number) => readonly string[];
}

interface Workspace {
  readonly latest_build: { readonly resources: readonly { readonly agents: readonly { readonly id: string }[] }[] };
}

interface Peers {
  readonly agents: readonly { readonly id: string }[];
  readonly clients: readonly unknown[];
}

interface Replica {
  readonly hostname: string;
  readonly error: string;
}

interface TestServer {
  readonly port: number;
  /** The paths from the server to the database, and from its siblings to its relay. */
  readonly toDatabase: Path;
  readonly toRelay: Path;
  process: ChildProcess | undefined;
  /** The log of the process that runs, or ran last. */
  log: string;
}

const MAX_LOG = 1 << 20;
const LAST_LINES = 25;
/** Environment of a command that must not use a direct path. */
export const RELAYED = { CODER_DISABLE_DIRECT_CONNECTIONS: "1" };

export class TestCluster {
  readonly folder = mkdtempSync(join(tmpdir(), "coder-cluster-"));
  readonly servers: TestServer[] = [];
  readonly #options: ClusterOptions;
  readonly #children = new Set<ChildProcess>();
  readonly #resources: { close(): Promise<void> }[] = [];
  #postgres: TestPostgres | undefined;
  #database: Database | undefined;
  #balancer: Balancer | undefined;

  static async start(options: ClusterOptions): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    try {
      await cluster.#open();
      for (let i = 0; i < options.servers; i++) await cluster.startServer(i);
      const email = ["--email", "owner@example.com"];
      await cluster.done(
        ["login", cluster.url, ...email, "--first-user-username", "owner", "--first-user-email", "owner@example.com"],
        { CODER_FIRST_USER_PASSWORD: PASSWORD, CODER_LOGIN_PASSWORD: PASSWORD },
      );
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  private constructor(options: ClusterOptions) {
    this.#options = options;
    mkdirSync(join(this.folder, "home"));
  }

  get postgres(): TestPostgres {
    return this.#postgres!;
  }

  get balancer(): Balancer {
    return this.#balancer!;
  }

  get url(): string {
    return `http://127.0.0.1:${this.balancer.port}`;
  }

  async #open(): Promise<void> {
    const { servers, binaries, database } = this.#options;
    this.#postgres = await startPostgres(binaries);
    this.#database = await database?.(this.#postgres);
    const { port: databasePort } = this.#postgres;
    while (this.servers.length < servers) {
      const port = await freePort();
      const [toDatabase, toRelay] = [new Path(databasePort), new Path(port)];
      for (const path of [toDatabase, toRelay]) {
        this.#resources.push(path);
        await path.listen();
      }
      this.servers.push({ port, toDatabase, toRelay, process: undefined, log: "" });
    }
    this.#balancer = new Balancer(this.servers.map(({ port }) => port));
    this.#resources.push(this.#balancer);
    await this.#balancer.listen();
  }

  /** Resolves when the server is ready to serve. */
  async startServer(index: number): Promise<void> {
    const server = this.servers[index]!;
    const { port, toDatabase, toRelay } = server;
    const databaseUrl = this.#database?.url ?? `postgres://postgres@127.0.0.1:${toDatabase.port}/postgres`;
    const running = this.spawn(
      [
        "server",
        ["--http-address", `127.0.0.1:${port}`],
        ["--access-url", this.url],
        ["--derp-server-relay-url", `http://127.0.0.1:${toRelay.port}`],
        ["--state-dir", join(this.folder, `server-${index}`)],
        ["--keys-file", join(this.folder, "keys.json")],
        // Long enough for the tests' balancer to notice.
        ["--shutdown-drain", "3s"],
        ["--stun-address", "disable", "--derp-server-stun-addresses", "disable"],
      ].flat(),
      { CODER_PG_CONNECTION_URL: databaseUrl },
      this.#options.nodeArguments?.(index),
    );
    server.process = running;
    server.log = "";
    running.stderr!.on("data", (chunk) => {
      if (server.log.length < MAX_LOG) server.log += String(chunk);
    });
    for (const end = performance.now() + READY_MS; performance.now() < end; await sleep(50)) {
      const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
        (answer) => answer.ok,
        () => false, // the server does not listen yet
      );
      if (ready) return;
      if (running.exitCode !== null) break;
    }
    throw new Error(`server ${index} did not start: ${server.log}`);
  }

  async stopServer(index: number, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const server = this.servers[index]!;
    const { process: running } = server;
    server.process = undefined;
    running!.kill(signal);
    if (running!.exitCode === null && running!.signalCode === null) await once(running!, "exit");
  }

  /** Registers a workspace and starts its agent. Returns the agent's id. */
  async startWorkspace(name: string): Promise<string> {
    const made = await this.done(["external-workspaces", "create", name, "--output", "json"]);
    const { auth_token: token } = JSON.parse(made.stdout) as { auth_token: string };
    this.spawn(["agent"], { CODER_AGENT_URL: this.url, CODER_AGENT_TOKEN: token, CODER_CONFIG_DIR: undefined });
    const answer = await this.api(0, `/api/v2/users/me/workspace/${name}`);
    const workspace = (await answer.json()) as Workspace;
    return workspace.latest_build.resources[0]!.agents[0]!.id;
  }

  /** Opens two echoing sessions, one over a direct path and one through the relays. */
  async openSessions(name: string): Promise<EchoSession[]> {
    const open = [new EchoSession(this, name), new EchoSession(this, name, RELAYED)];
    for (const session of open) await session.goesOn(5);
    return open;
  }

  /** The last lines of each server's log, for failure messages. */
  lastLines(): string {
    const last = (log: string): string => log.trimEnd().split("\n").slice(-LAST_LINES).join("\n");
    return this.servers.map(({ log }, index) => `server ${index}:\n${last(log)}`).join("\n");
  }

  /** The server to which a peer is connected. */
  async serverOf(peer: string): Promise<number> {
    for (const end = performance.now() + READY_MS; performance.now() < end; await sleep(50))
      for (const index of this.servers.keys())
        if ((await this.#peersAt(index)).agents.some(({ id }) => id === peer)) return index;
    throw new Error(`no server knows ${peer}`);
  }

  /** The peers connected to all servers together. */
  async peers(): Promise<{ readonly agents: readonly string[]; readonly clients: number }> {
    const pages = await Promise.all([...this.servers.keys()].map((index) => this.#peersAt(index)));
    return {
      agents: pages.flatMap(({ agents }) => agents.map(({ id }) => id)),
      clients: pages.flatMap(({ clients }) => clients).length,
    };
  }

  async #peersAt(index: number): Promise<Peers> {
    const answer = await this.api(index, "/api/v2/debug/coordinator", { headers: { Accept: "application/json" } });
    return (await answer.json()) as Peers;
  }

  /** The servers that one of them lists. */
  async replicas(index: number): Promise<readonly Replica[]> {
    const answer = await this.api(index, "/api/v2/replicas");
    return answer.ok ? ((await answer.json()) as Replica[]) : [];
  }

  /** Sends a request to one server, bypassing the balancer, as the owner. */
  async api(index: number, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { "Coder-Session-Token": this.token, ...init.headers };
    return await fetch(`${this.serverUrl(index)}${path}`, { ...init, headers }).catch((cause: unknown) => {
      const { process: running, log } = this.servers[index]!;
      const end = running?.exitCode ?? running?.signalCode ?? "it runs";
      throw new Error(`server ${index} does not answer (${end}): ${log.slice(-4_096)}`, { cause });
    });
  }

  serverUrl(index: number): string {
    return `http://127.0.0.1:${this.servers[index]!.port}`;
  }

  /** Token of the owner. */
  get token(): string {
    return readFileSync(join(this.folder, "config/session"), "utf8").trim();
  }

  spawn(args: readonly string[], extra: NodeJS.ProcessEnv = {}, nodeArguments: readonly string[] = []): ChildProcess {
    const child = spawn(process.execPath, [...nodeArguments, coder, ...args], {
      env: {
        PATH: process.env["PATH"],
        HOME: join(this.folder, "home"),
        CODER_CONFIG_DIR: join(this.folder, "config"),
        ...extra,
      },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    child.stdin!.on("error", () => undefined); // the command ended: its exit code says how
    return child;
  }

  async run(args: readonly string[], extra: NodeJS.ProcessEnv = {}): Promise<Finished> {
    const child = this.spawn(args, extra);
    let [stdout, stderr] = ["", ""];
    child.stdout!.on("data", (chunk) => {
      stdout += String(chunk);
    });
    child.stderr!.on("data", (chunk) => {
      stderr += String(chunk);
    });
    child.stdin!.end();
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout, stderr };
  }

  /** Like `run`, but throws unless the command succeeds. */
  async done(args: readonly string[], extra: NodeJS.ProcessEnv = {}): Promise<Finished> {
    const finished = await this.run(args, extra);
    if (finished.code !== 0) throw new Error(finished.stderr);
    return finished;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#children].map(ended));
    for (const resource of this.#resources) await resource.close();
    await this.#database?.close();
    await this.#postgres?.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function ended(child: ChildProcess): Promise<void> {
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  clearTimeout(late);
}
