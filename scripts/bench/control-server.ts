/** A real `coder server` with many workspaces, which can be killed and restarted on the same store. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { endProcess } from "./processes.ts";
import { cleanEnvironment, coder } from "./system.ts";

const PASSWORD = "bench-only-password-1";
/** One user may have no more than 256 clients at a time. */
const WORKSPACES_PER_USER = 250;
const READY_WITHIN_MS = 20_000;
const ANSWER_WITHIN_MS = 30_000;
/** Concurrent requests of the setup. */
const AT_ONCE = 8;

export interface AgentLogin {
  readonly agentId: string;
  readonly token: string;
  /** Login of the workspace's owner. */
  readonly ownerToken: string;
}

export interface EventLoop {
  readonly lagP99Ms: number;
  readonly lagMaxMs: number;
}

export class ControlServer implements AsyncDisposable {
  readonly url: string;
  readonly #port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), "bench-control-"));
  readonly #profileFolder: string | undefined;
  #child: ChildProcess | undefined;
  #said = "";

  constructor(profileFolder?: string) {
    this.#port = 20_000 + (process.pid % 20_000);
    this.url = `http://127.0.0.1:${this.#port}`;
    this.#profileFolder = profileFolder;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  async start(): Promise<void> {
    const flags = ["--import", pathToFileURL(join(import.meta.dirname, "event-loop-probe.ts")).href];
    if (this.#profileFolder !== undefined) {
      flags.push("--cpu-prof", `--cpu-prof-dir=${this.#profileFolder}`, "--cpu-prof-interval=500");
    }
    const at = ["--http-address", `127.0.0.1:${this.#port}`, "--access-url", this.url];
    const child = spawn(
      process.execPath,
      [...flags, coder, "server", ...at, "--state-dir", join(this.#folder, "state")],
      {
        env: {
          ...cleanEnvironment(join(this.#folder, "config")),
          CODER_STUN_ADDRESS: "disable",
          CODER_DERP_SERVER_STUN_ADDRESSES: "disable",
        },
        stdio: ["ignore", "pipe", "pipe", "ipc"],
      },
    );
    this.#child = child;
    const keep = (chunk: Buffer): void => {
      this.#said = (this.#said + chunk.toString("utf8")).slice(-2_000);
    };
    child.stdout!.on("data", keep);
    child.stderr!.on("data", keep);
    for (const end = performance.now() + READY_WITHIN_MS; ; await sleep(20)) {
      const up = await fetch(`${this.url}/healthz`).then(
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
    await endProcess(child, () => child.kill(this.#profileFolder === undefined ? "SIGKILL" : "SIGTERM"));
  }

  /** Statistics of its event loop since the last request with "reset". */
  async eventLoop(ask: "read" | "reset"): Promise<EventLoop> {
    const answered = once(this.#child!, "message", { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    this.#child!.send(ask);
    return ((await answered) as [EventLoop])[0];
  }

  /** Registers that many workspaces, each with one agent, and users for them. */
  async populate(workspaces: number): Promise<AgentLogin[]> {
    const owners = [await this.#firstUser()];
    while (owners.length * WORKSPACES_PER_USER < workspaces) owners.push(await this.#user(owners[0]!, owners.length));
    const agents: AgentLogin[] = [];
    let next = 0;
    const add = async (): Promise<void> => {
      while (next < workspaces) {
        const number = next++;
        agents.push(await this.#workspace(`w${number}`, owners[Math.floor(number / WORKSPACES_PER_USER)]!));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, add));
    return agents;
  }

  async #firstUser(): Promise<string> {
    const user = { email: "bench@example.com", username: "bench", name: "Bench", password: PASSWORD, trial: false };
    await this.#ask("/api/v2/users/first", "", user);
    return await this.#login(user.email);
  }

  async #user(token: string, number: number): Promise<string> {
    const username = `bench${number}`;
    const email = `${username}@example.com`;
    await this.#ask("/api/v2/users", token, { email, username, password: PASSWORD, organization_ids: [] });
    return await this.#login(email);
  }

  async #login(email: string): Promise<string> {
    const answer = await this.#ask<{ session_token: string }>("/api/v2/users/login", "", { email, password: PASSWORD });
    return answer.session_token;
  }

  async #workspace(name: string, ownerToken: string): Promise<AgentLogin> {
    const { id, latest_build: build } = await this.#ask<{
      id: string;
      latest_build: { resources: { agents?: { id: string }[] }[] };
    }>("/api/v2/users/me/workspaces", ownerToken, { name });
    const agentId = build.resources.flatMap(({ agents }) => agents ?? [])[0]?.id;
    if (agentId === undefined) throw new Error(`workspace ${name} has no agent`);
    const path = `/api/v2/workspaces/${id}/external-agent/main/credentials`;
    const { agent_token: token } = await this.#ask<{ agent_token: string }>(path, ownerToken);
    return { agentId, token, ownerToken };
  }

  /** GET, or POST when there is a body. */
  async #ask<Answer>(path: string, token: string, body?: object): Promise<Answer> {
    const headers = new Headers({ "Content-Type": "application/json" });
    if (token !== "") headers.set("Coder-Session-Token", token);
    const answer = await fetch(`${this.url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      body: body === undefined ? null : JSON.stringify(body),
      headers,
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
