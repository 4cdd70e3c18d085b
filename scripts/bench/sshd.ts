/** A stock sshd on a loopback port, with keys and configuration of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "../../packages/wg-userspace/test/interop/namespaces.ts";
import { inside } from "./hosts.ts";
import { endProcess, missingPrograms } from "./processes.ts";

/** Privilege separation directory of sshd, which refuses to start as root without it. */
const PRIVILEGE_SEPARATION_FOLDER = "/run/sshd";
const READY_WITHIN_MS = 10_000;

export interface Sshd extends AsyncDisposable {
  readonly pid: number;
  /** Account to log in as. */
  readonly user: string;
  /** `Key=value` of ssh_config(5): port, key and host key. */
  readonly options: readonly string[];
}

/** Starts it and waits until it listens, on loopback or on the address of another host. */
export async function openSshd(on?: Host): Promise<Sshd> {
  await using owned = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "bench-ssh-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  if (process.getuid?.() === 0 && !existsSync(PRIVILEGE_SEPARATION_FOLDER)) {
    mkdirSync(PRIVILEGE_SEPARATION_FOLDER, { mode: 0o755 });
    owned.defer(() => rmdirSync(PRIVILEGE_SEPARATION_FOLDER));
  }
  const port = await freePort();
  writeKeys(folder, on?.address ?? "127.0.0.1", port);
  const [program, ...args] = [...inside(on), sshdPath(), "-D", "-e", "-f", join(folder, "sshd_config")];
  const server = spawn(program!, args, { stdio: ["ignore", "ignore", "pipe"] });
  owned.defer(() => endProcess(server));
  await untilListening("sshd", port, server, on === undefined ? isTaken : async () => listensOn(on, port));
  const moved = owned.move();
  return {
    pid: server.pid!,
    user: userInfo().username,
    options: [
      `Port=${port}`,
      `IdentityFile=${join(folder, "user")}`,
      `UserKnownHostsFile=${join(folder, "known_hosts")}`,
      "GlobalKnownHostsFile=/dev/null",
      "StrictHostKeyChecking=yes",
      "IdentitiesOnly=yes",
      "BatchMode=yes",
    ],
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
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

function writeKeys(folder: string, address: string, port: number): void {
  for (const name of ["host", "user"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", join(folder, name)]);
  }
  const hostKey = readFileSync(join(folder, "host.pub"), "utf8");
  writeFileSync(join(folder, "known_hosts"), `[${address}]:${port} ${hostKey}`);
  writeFileSync(join(folder, "authorized_keys"), readFileSync(join(folder, "user.pub")));
  writeFileSync(
    join(folder, "sshd_config"),
    [
      `ListenAddress ${address}:${port}`,
      `HostKey ${join(folder, "host")}`,
      `AuthorizedKeysFile ${join(folder, "authorized_keys")}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin prohibit-password",
      "LogLevel ERROR",
      "MaxStartups 100",
      "Subsystem sftp internal-sftp",
      "",
    ].join("\n"),
  );
}

/** The port is free when this returns; another program may take it before its listener is there. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Resolves when the port is taken; rejects with what the process wrote to stderr. */
export async function untilListening(
  what: string,
  port: number,
  child: ChildProcess,
  listens: (port: number) => Promise<boolean> = isTaken,
): Promise<void> {
  let said = "";
  child.stderr!.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("utf8")).slice(-2_000);
  });
  for (const end = performance.now() + READY_WITHIN_MS; performance.now() < end; await sleep(30)) {
    if (child.exitCode !== null) break;
    if (await listens(port)) return;
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

const LISTENING = "0A";

/** Whether anything listens on that port of a host's IPv4 addresses. */
export function listensOn(host: Host, port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const sockets = host.run("cat", "/proc/net/tcp").split("\n").slice(1);
  return sockets.some((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    return local.endsWith(suffix) && state === LISTENING;
  });
}
