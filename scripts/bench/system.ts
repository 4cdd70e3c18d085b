/**
 * A whole deployment for a bench, in a folder of its own: control plane, workspace "demo" with its agent, and a login.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { inside } from "./hosts.ts";
import { endProcess } from "./processes.ts";
import { freePort, listensOn } from "./sshd.ts";
import type { Hosts } from "./streams.ts";

export const coder = join(import.meta.dirname, "../../packages/cli/dist/coder.cjs");
const PASSWORD = "bench-only-password-1";
const READY_WITHIN_MS = 20_000;

/** Excludes the user's own settings and those of the shell; reading extra authorities would add to every start. */
export function cleanEnvironment(configFolder: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("CODER_") && name !== "NODE_EXTRA_CA_CERTS" && name !== "NODE_OPTIONS",
  );
  return { ...Object.fromEntries(kept), HOME: dirname(configFolder), CODER_CONFIG_DIR: configFolder };
}

interface SystemOptions {
  readonly inspect?: boolean;
  readonly command?: string;
  readonly hosts?: Hosts | undefined;
}

export interface LocalSystem extends AsyncDisposable {
  readonly environment: NodeJS.ProcessEnv;
  readonly serverPid: number;
  readonly agentPid: number;
  /** Inspector addresses, if requested. */
  readonly inspectors: { readonly server: string; readonly agent: string };
}

/**
 * @param inspect Both processes open an inspector on a loopback port that the system chooses.
 * @param command The built command that all of it runs; by default the one of this checkout.
 * @param hosts The deployment and the agent run on the right one, and the login is for commands on the left one; default: all of
 * it on this machine itself.
 */
export async function startSystem({
  inspect = false,
  command = coder,
  hosts,
}: SystemOptions = {}): Promise<LocalSystem> {
  await using owned = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "bench-system-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  const environment = cleanEnvironment(join(folder, "config"));
  const start = (args: readonly string[], extra: NodeJS.ProcessEnv = {}): Background => {
    const background = new Background(inside(hosts?.right), [command, ...args], { ...environment, ...extra }, inspect);
    owned.defer(() => background.end());
    return background;
  };
  const run = async (args: readonly string[], extra: NodeJS.ProcessEnv = {}): Promise<string> => {
    const options = { env: { ...environment, ...extra }, timeout: READY_WITHIN_MS };
    const [program, ...rest] = [...inside(hosts?.left), process.execPath, command, ...args];
    return (await promisify(execFile)(program!, rest, options)).stdout;
  };

  const port = await freePort();
  const address = `${hosts?.right.address ?? "127.0.0.1"}:${port}`;
  const url = `http://${address}`;
  const at = ["--http-address", address, "--access-url", url, "--cache-dir", join(folder, "server")];
  at.push("--stun-address", "disable", "--derp-server-stun-addresses", "disable");
  const server = start(["server", ...at]);
  await until("the control plane", server, async () =>
    hosts === undefined ? (await fetch(`${url}/healthz`)).ok : listensOn(hosts.right, port),
  );
  const who = ["--email", "bench@example.com"];
  const first = ["--first-user-username", "bench", "--first-user-email", "bench@example.com"];
  await run(["login", url, ...who, ...first], { CODER_FIRST_USER_PASSWORD: PASSWORD, CODER_LOGIN_PASSWORD: PASSWORD });
  const created = await run(["external-workspaces", "create", "demo", "--output", "json"]);
  const { auth_token: token } = JSON.parse(created) as { auth_token: string };
  const agent = start(["agent"], { CODER_AGENT_URL: url, CODER_AGENT_TOKEN: token });
  await until("the agent", agent, async () => (await run(["ssh", "demo", "--", "echo", "ready"])).includes("ready"));
  const moved = owned.move();
  const pids = { serverPid: server.child.pid!, agentPid: agent.child.pid! };
  const inspectors = { server: server.inspector, agent: agent.inspector };
  return { environment, ...pids, inspectors, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

class Background {
  readonly child: ChildProcess;
  said = "";
  inspector = "";

  constructor(before: readonly string[], args: readonly string[], env: NodeJS.ProcessEnv, inspect: boolean) {
    const options = inspect ? ["--inspect=127.0.0.1:0"] : [];
    const [program, ...rest] = [...before, process.execPath, ...options, ...args];
    this.child = spawn(program!, rest, { env, stdio: ["ignore", "pipe", "pipe"] });
    const keep = (chunk: Buffer): void => {
      this.said = (this.said + chunk.toString("utf8")).slice(-2_000);
      this.inspector ||= /^Debugger listening on (ws:\S+)$/m.exec(this.said)?.[1] ?? "";
    };
    this.child.stdout!.on("data", keep);
    this.child.stderr!.on("data", keep);
  }

  async end(): Promise<void> {
    await endProcess(this.child);
  }
}

async function until(what: string, background: Background, ready: () => Promise<boolean>): Promise<void> {
  let last: unknown;
  for (const end = performance.now() + READY_WITHIN_MS; performance.now() < end; await sleep(100)) {
    if (background.child.exitCode !== null) break;
    try {
      if (await ready()) return;
    } catch (error) {
      last = error; // not up yet: the reason matters only after the deadline
    }
  }
  throw new Error(`${what} did not become ready: ${String(last)}\n${background.said}`);
}
