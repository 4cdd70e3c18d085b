/** Three servers on one PostgreSQL behind a balancer, an agent, and commands: real processes of the built CLI on loopback. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startPostgres, type TestPostgres } from "./postgres-server.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const PASSWORD = "a password for tests";
const READY_MS = 60_000;

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Passes each connection to the next server in turn, skipping those that refuse it. Knows nothing of HTTP or of clients. */
class Balancer {
  readonly #ports: readonly number[];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next = 0;

  constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.#server = createServer((socket) => {
      this.#own(socket);
      this.#pass(socket, this.#ports.length);
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as { port: number }).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(socket: Socket, triesLeft: number): void {
    const port = this.#ports[this.#next++ % this.#ports.length]!;
    const onward = connect(port, "127.0.0.1");
    this.#own(onward);
    onward.once("connect", () => {
      onward.removeAllListeners("error");
      for (const [from, to] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
        from.pipe(to);
      }
    });
    onward.once("error", () => {
      if (triesLeft > 1 && !socket.destroyed) this.#pass(socket, triesLeft - 1);
      else socket.destroy();
    });
  }

  #own(socket: Socket): void {
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#sockets.delete(socket));
  }
}

export class TestCluster {
  readonly folder = mkdtempSync(join(tmpdir(), "coder-cluster-"));
  readonly postgres: TestPostgres;
  readonly ports: readonly number[];
  readonly servers: (ChildProcess | undefined)[] = [];
  url = "";
  readonly #balancer: Balancer;
  readonly #children = new Set<ChildProcess>();

  static async start(count: number, binaries: string): Promise<TestCluster> {
    const ports: number[] = [];
    while (ports.length < count) ports.push(await freePort());
    const cluster = new TestCluster(await startPostgres(binaries), ports);
    try {
      cluster.url = `http://127.0.0.1:${await cluster.#balancer.listen()}`;
      for (let i = 0; i < count; i++) await cluster.startServer(i);
      const email = ["--email", "owner@example.com"];
      await cluster.#done(
        ["login", cluster.url, ...email, "--first-user-username", "owner", "--first-user-email", "owner@example.com"],
        { CODER_FIRST_USER_PASSWORD: PASSWORD, CODER_LOGIN_PASSWORD: PASSWORD },
      );
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  private constructor(postgres: TestPostgres, ports: readonly number[]) {
    this.postgres = postgres;
    this.ports = ports;
    this.#balancer = new Balancer(ports);
    mkdirSync(join(this.folder, "home"));
  }

  /** Resolves when the server is ready to serve. */
  async startServer(index: number): Promise<void> {
    const port = this.ports[index]!;
    const server = this.spawn(
      [
        "server",
        ["--http-address", `127.0.0.1:${port}`],
        ["--access-url", this.url],
        ["--derp-server-relay-url", `http://127.0.0.1:${port}`],
        ["--state-dir", join(this.folder, `server-${index}`)],
        ["--keys-file", join(this.folder, "keys.json")],
        ["--stun-address", "disable", "--derp-server-stun-addresses", "disable"],
      ].flat(),
      { CODER_PG_CONNECTION_URL: this.postgres.url },
    );
    this.servers[index] = server;
    let log = "";
    server.stderr!.on("data", (chunk) => {
      if (log.length < 65_536) log += String(chunk);
    });
    for (const end = performance.now() + READY_MS; performance.now() < end; await sleep(50)) {
      const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
        (answer) => answer.ok,
        () => false, // not listening yet
      );
      if (ready) return;
      if (server.exitCode !== null) break;
    }
    throw new Error(`server ${index} did not start: ${log}`);
  }

  async stopServer(index: number, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const server = this.servers[index]!;
    this.servers[index] = undefined;
    server.kill(signal);
    if (server.exitCode === null && server.signalCode === null) await once(server, "exit");
  }

  /** Registers a workspace and starts its agent. */
  async startWorkspace(name: string): Promise<void> {
    const made = await this.#done(["external-workspaces", "create", name, "--output", "json"]);
    const { auth_token: token } = JSON.parse(made.stdout) as { auth_token: string };
    this.spawn(["agent"], { CODER_AGENT_URL: this.url, CODER_AGENT_TOKEN: token, CODER_CONFIG_DIR: undefined });
  }

  /** A request to one server, past the balancer. */
  api(index: number, path: string): Promise<Response> {
    const token = readFileSync(join(this.folder, "config/session"), "utf8").trim();
    return fetch(`http://127.0.0.1:${this.ports[index]}${path}`, { headers: { "Coder-Session-Token": token } });
  }

  spawn(args: readonly string[], extra: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn(process.execPath, [coder, ...args], {
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
    child.stdin!.on("error", () => undefined); // it ended: its exit code says how
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

  async close(): Promise<void> {
    for (const child of [...this.#children]) {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      clearTimeout(late);
    }
    await this.#balancer.close();
    await this.postgres.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #done(args: readonly string[], extra: NodeJS.ProcessEnv = {}): Promise<Finished> {
    const done = await this.run(args, extra);
    if (done.code !== 0) throw new Error(done.stderr);
    return done;
  }
}

/** A session that echoes numbered lines for as long as it lives. */
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
    this.#writing = setInterval(() => this.#child.stdin!.write(`line ${this.#sent++}\n`), 50);
  }

  /** Lines that came back; throws when one is missing, twice or out of order, or when the session ended. */
  get returned(): number {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null)
      throw new Error(`the session ended with ${exitCode ?? signalCode}: ${this.#stderr}`);
    const lines = this.#text.split("\n").slice(0, -1);
    const wrong = lines.findIndex((line, i) => line !== `line ${i}`);
    if (wrong >= 0) throw new Error(`line ${wrong} came back as "${lines[wrong]}"`);
    return lines.length;
  }

  /** Resolves once `more` further lines came back. */
  async goesOn(more: number, withinMs = 60_000): Promise<void> {
    const wanted = this.returned + more;
    for (const end = performance.now() + withinMs; performance.now() < end; await sleep(50))
      if (this.returned >= wanted) return;
    throw new Error(`only ${this.returned} of ${wanted} lines came back: ${this.#stderr}`);
  }

  /** Everything that was sent came back, and the program ends well. */
  async end(): Promise<void> {
    clearInterval(this.#writing);
    this.#child.stdin!.end();
    if (this.#child.exitCode === null) await once(this.#child, "close");
    const lines = this.#text.split("\n").slice(0, -1);
    if (this.#child.exitCode !== 0) throw new Error(`the session ended with ${this.#child.exitCode}: ${this.#stderr}`);
    if (lines.length !== this.#sent) throw new Error(`${lines.length} of ${this.#sent} lines came back`);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
