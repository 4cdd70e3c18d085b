/** `coder ssh` to an agent of a deployment that a bench registered: with real programs and tunnels. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endProcess } from "./processes.ts";
import type { AgentLogin } from "./registration.ts";
import { cleanEnvironment, coder } from "./system.ts";

const READY_WITHIN_MS = 60_000;
const RUN_WITHIN_MS = 60_000;

export class Sessions implements AsyncDisposable {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #workspace: string;
  readonly #owned: AsyncDisposableStack;

  /** Starts the agent, and waits until it can be reached. */
  static async open(url: string, login: AgentLogin, workspace: string): Promise<Sessions> {
    await using owned = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), "bench-sessions-"));
    owned.defer(() => rmSync(folder, { recursive: true, force: true }));
    const config = join(folder, "config");
    mkdirSync(config);
    writeFileSync(join(config, "url"), url);
    writeFileSync(join(config, "session"), login.ownerToken, { mode: 0o600 });
    const environment = cleanEnvironment(config);
    const agent = spawn(process.execPath, [coder, "agent"], {
      env: { ...cleanEnvironment(join(folder, "agent")), CODER_AGENT_URL: url, CODER_AGENT_TOKEN: login.token },
      stdio: "ignore",
    });
    owned.defer(() => endProcess(agent));
    const sessions = new Sessions(environment, workspace, owned.move());
    for (const end = performance.now() + READY_WITHIN_MS; (await sessions.run()) === undefined; await sleep(200)) {
      if (performance.now() < end) continue;
      await sessions[Symbol.asyncDispose]();
      throw new Error("the agent was not reached in time");
    }
    return sessions;
  }

  private constructor(environment: NodeJS.ProcessEnv, workspace: string, owned: AsyncDisposableStack) {
    this.#environment = environment;
    this.#workspace = workspace;
    this.#owned = owned;
  }

  /** Runs one command in the workspace. Resolves with its duration in ms; undefined when it failed. */
  async run(): Promise<number | undefined> {
    const started = performance.now();
    const child = spawn(process.execPath, [coder, "ssh", this.#workspace, "--", "echo", "here"], {
      env: this.#environment,
      stdio: ["ignore", "pipe", "ignore"],
      timeout: RUN_WITHIN_MS,
    });
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString("utf8");
    });
    const [code] = (await once(child, "close")) as [number | null];
    return code === 0 && said === "here\n" ? performance.now() - started : undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }
}
