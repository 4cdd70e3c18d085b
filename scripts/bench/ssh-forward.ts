/** `ssh -L` between our two plain peers: a stock sshd on loopback with keys and configuration of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endProcess, missingPrograms } from "./processes.ts";
import { plainPair, type StreamPair } from "./streams.ts";

/** Privilege separation directory of sshd, which refuses to start as root without it. */
const PRIVILEGE_SEPARATION_FOLDER = "/run/sshd";
const READY_WITHIN_MS = 10_000;

/** @param cipher As OpenSSH names it. */
export async function sshForwardPair(cipher: string): Promise<StreamPair> {
  await using owned = new AsyncDisposableStack();
  const pair = await plainPair({ listenHost: "127.0.0.1" }, async (farPort) =>
    owned.use(await openSshForward(cipher, farPort)),
  );
  owned.use(pair);
  const moved = owned.move();
  return { ...pair, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

export interface SshForward extends AsyncDisposable {
  /** Local port that forwards streams to the other side. */
  readonly host: string;
  readonly port: number;
}

/** sshd and `ssh -L` to a port of this machine. */
export async function openSshForward(cipher: string, farPort: number): Promise<SshForward> {
  await using owned = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "bench-ssh-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  if (process.getuid?.() === 0 && !existsSync(PRIVILEGE_SEPARATION_FOLDER)) {
    mkdirSync(PRIVILEGE_SEPARATION_FOLDER, { mode: 0o755 });
    owned.defer(() => rmdirSync(PRIVILEGE_SEPARATION_FOLDER));
  }
  const [sshPort, forwardPort] = await twoFreePorts();
  writeKeys(folder, sshPort);
  const run = (program: string, args: readonly string[]): ChildProcess => {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    owned.defer(() => endProcess(child));
    return child;
  };
  const sshd = run(sshdPath(), ["-D", "-e", "-f", join(folder, "sshd_config")]);
  await listening("sshd", sshPort, sshd);
  const client = run("ssh", [
    ...["-F", "none", "-N", "-T", "-c", cipher, "-p", String(sshPort), "-i", join(folder, "user")],
    ...["-o", `UserKnownHostsFile=${join(folder, "known_hosts")}`, "-o", "GlobalKnownHostsFile=/dev/null"],
    ...["-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"],
    ...["-o", "ExitOnForwardFailure=yes", "-L", `127.0.0.1:${forwardPort}:127.0.0.1:${farPort}`],
    `${userInfo().username}@127.0.0.1`,
  ]);
  await listening("ssh -L", forwardPort, client);
  const moved = owned.move();
  return { host: "127.0.0.1", port: forwardPort, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

/** Names the missing sshd; it may be installed only in root's PATH. */
export function sshdMissing(): string[] {
  const path = process.env["PATH"];
  process.env["PATH"] = `${path}:/usr/sbin:/sbin`;
  const missing = missingPrograms("sshd");
  process.env["PATH"] = path;
  return missing;
}

/** sshd must be started by its absolute path. */
function sshdPath(): string {
  return execFileSync("sh", ["-c", "PATH=$PATH:/usr/sbin:/sbin command -v sshd"], { encoding: "utf8" }).trim();
}

function writeKeys(folder: string, port: number): void {
  for (const name of ["host", "user"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", join(folder, name)]);
  }
  const hostKey = readFileSync(join(folder, "host.pub"), "utf8");
  writeFileSync(join(folder, "known_hosts"), `[127.0.0.1]:${port} ${hostKey}`);
  writeFileSync(join(folder, "authorized_keys"), readFileSync(join(folder, "user.pub")));
  writeFileSync(
    join(folder, "sshd_config"),
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${join(folder, "host")}`,
      `AuthorizedKeysFile ${join(folder, "authorized_keys")}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin prohibit-password",
      "LogLevel ERROR",
      "",
    ].join("\n"),
  );
}

/** Both ports stay bound until both are known, so that they differ. */
async function twoFreePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()] as const;
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) {
    server.close();
    await once(server, "close");
  }
  return ports as [number, number];
}

async function listening(what: string, port: number, child: ChildProcess): Promise<void> {
  let said = "";
  child.stderr!.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("utf8")).slice(-2_000);
  });
  for (const end = performance.now() + READY_WITHIN_MS; performance.now() < end; await sleep(30)) {
    if (child.exitCode !== null) break;
    if (await isTaken(port)) return;
  }
  throw new Error(`${what} did not listen on port ${port}: ${said.trim() || `exit ${child.exitCode}`}`);
}

/** Probed by trying to listen on the port: a connection would pass through to the peer. */
function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(true));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(false)));
  });
}
