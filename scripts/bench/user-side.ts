/** One way from this machine into a workspace on this machine: ours, that of another checkout, or OpenSSH's own. */
import { execFile, spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { childrenOf, endedChildrenCpuSeconds, familyCpuSeconds } from "./process-usage.ts";
import { endProcess } from "./processes.ts";
import { ProxyUsage } from "./proxy-usage.ts";
import { shell, words } from "./shell.ts";
import { freePort, openSshd, untilListening } from "./sshd.ts";
import { startSystem } from "./system.ts";

/** A command that takes longer has failed. */
const WITHIN_MS = 60_000;
/** How long the far side may take to wait for the program of a session that has ended. */
const REAPED_WITHIN_MS = 5_000;

export interface Side extends AsyncDisposable {
  readonly name: string;
  /** Words that begin a command of ours; undefined for OpenSSH alone. */
  readonly coder: string | undefined;
  /** Words before each command of OpenSSH; none by default. */
  readonly before?: string;
  /** Configuration of OpenSSH that knows {@link host}. */
  readonly sshConfig: string;
  readonly host: string;
  /** Local port that leads to the port of the workspace that was given when it was opened. */
  readonly forwardPort: number;
  /** Runs a command of the shell, and counts what it costs on both sides. */
  run(command: string): Promise<Cost>;
}

export interface Cost {
  readonly output: string;
  readonly wallMs: number;
  /** Processor time of this side of the connection, a running forward included. */
  readonly nearMs: number;
  /** Processor time of the agent or sshd, with the programs that it ran. */
  readonly farMs: number;
}

interface Processes {
  /** The agent or sshd. */
  readonly far: number;
  /** The process that forwards, if there is one. */
  readonly forward?: number;
  readonly environment: NodeJS.ProcessEnv;
  readonly proxies?: ProxyUsage;
}

/** @param command Path of `coder.cjs`. @param farPort Port of this machine that the forward leads to. */
export async function ourSide(name: string, command: string, farPort: number): Promise<Side> {
  await using owned = new AsyncDisposableStack();
  const system = owned.use(await startSystem({ command }));
  const folder = temporaryFolder(owned);
  const sshConfig = join(folder, "ssh_config");
  const { environment } = system;
  const program = [process.execPath, command];
  const args = ["config-ssh", "--yes", "--ssh-config-file", sshConfig, "--hostname-suffix", "coder"];
  await promisify(execFile)(program[0]!, [command, ...args], { env: environment, timeout: WITHIN_MS });
  const proxies = new ProxyUsage(folder);
  writeFileSync(sshConfig, `${proxies.observed(readFileSync(sshConfig, "utf8"))}${GCM_FIRST}`);
  const forwardPort = await freePort();
  const forward = spawn(program[0]!, [command, "port-forward", "demo", "--tcp", `${forwardPort}:${farPort}`], {
    env: environment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  owned.defer(() => endProcess(forward));
  await untilListening("coder port-forward", forwardPort, forward);
  const run = runner({ far: system.agentPid, forward: forward.pid!, environment, proxies });
  const moved = owned.move();
  return {
    ...{ name, coder: words(...program), sshConfig, host: "demo.coder", forwardPort, run },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

/** OpenSSH straight to an sshd of this machine. */
export async function opensshSide(name: string, farPort: number): Promise<Side> {
  await using owned = new AsyncDisposableStack();
  const server = owned.use(await openSshd());
  const folder = temporaryFolder(owned);
  const sshConfig = join(folder, "ssh_config");
  const options = ["HostName=127.0.0.1", `User=${server.user}`, ...server.options];
  appendFileSync(sshConfig, `Host peer\n${options.join("\n")}\n${GCM_FIRST}`);
  const forwardPort = await freePort();
  const forward = spawn("ssh", ["-F", sshConfig, "-N", "-L", `127.0.0.1:${forwardPort}:127.0.0.1:${farPort}`, "peer"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  owned.defer(() => endProcess(forward));
  await untilListening("ssh -L", forwardPort, forward);
  const run = runner({ far: server.pid, forward: forward.pid!, environment: process.env });
  const moved = owned.move();
  return {
    ...{ name, coder: undefined, sshConfig, host: "peer", forwardPort, run },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

/** The same cipher on every side. */
export const GCM_FIRST = "\nHost *\n  Ciphers aes128-gcm@openssh.com\n";

function temporaryFolder(owned: AsyncDisposableStack): string {
  const folder = mkdtempSync(join(tmpdir(), "bench-user-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function runner({ far, forward, environment, proxies }: Processes): (command: string) => Promise<Cost> {
  const near = (): number =>
    endedChildrenCpuSeconds(process.pid) + (forward === undefined ? 0 : familyCpuSeconds(forward));
  const farAll = (): number => familyCpuSeconds(far);
  return async (command) => {
    const idleChildren = childrenOf(far).length;
    const [nearBefore, farBefore] = [near(), farAll()];
    const started = performance.now();
    const output = await shell(command, environment, WITHIN_MS);
    const wallMs = performance.now() - started;
    for (const end = performance.now() + REAPED_WITHIN_MS; performance.now() < end; await sleep(10)) {
      if (childrenOf(far).length <= idleChildren) break;
    }
    const proxySeconds = (await proxies?.take()) ?? 0;
    return {
      output,
      wallMs,
      nearMs: (near() - nearBefore + proxySeconds) * 1000,
      farMs: (farAll() - farBefore) * 1000,
    };
  };
}
