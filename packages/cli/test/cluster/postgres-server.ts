/** A PostgreSQL for tests: its data in a temporary folder, on a free port of the loopback interface, without a system service. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

export interface TestPostgres {
  /** Of the administrator, without a password. */
  readonly url: string;
  readonly port: number;
  /** As `pg_ctl stop -m fast`; `start` begins again with the same data on the same port. */
  halt(): Promise<void>;
  start(): Promise<void>;
  /** As halt, then gone from the disk. */
  stop(): Promise<void>;
}

const READY_MS = 60_000;

/** The folder of initdb and postgres; undefined where there is none. Debian keeps them out of PATH. */
export function findPostgres(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  return [
    ...versions.map((version) => join(debian, version, "bin")),
    ...(process.env["PATH"] ?? "").split(delimiter),
  ].find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")));
}

/** Starts one, whose writes need not survive a power cut. Its collation is not that of code points, as in most installations. */
export async function startPostgres(binaries: string, settings: readonly string[] = []): Promise<TestPostgres> {
  const folder = mkdtempSync(join(tmpdir(), "coder-postgres-"));
  const account = accountFor(folder);
  const data = join(folder, "data");
  const env = { PATH: process.env["PATH"] ?? "", LC_ALL: "C.UTF-8" };
  execFileSync(
    join(binaries, "initdb"),
    ["-D", data, "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", ...collation(binaries)],
    { ...account, env, cwd: folder, stdio: ["ignore", "ignore", "inherit"] },
  );
  const port = await freePort();
  const options = [
    `unix_socket_directories=${folder}`,
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=64MB",
    "autovacuum=off",
    ...settings,
  ];
  const started = (): ChildProcess =>
    spawn(
      join(binaries, "postgres"),
      ["-D", data, "-p", String(port), ...options.flatMap((option) => ["-c", option])],
      { ...account, env, cwd: folder, stdio: ["ignore", "ignore", "pipe"] },
    );
  let server = started();
  const stop = async (): Promise<void> => {
    await ended(server);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await ready(server);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    halt: () => ended(server),
    start: async () => {
      server = started();
      await ready(server);
    },
    stop,
  };
}

/** PostgreSQL refuses to run as root: another account owns the folder and the process. */
function accountFor(folder: string): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string): number => {
    const found = spawnSync("id", [flag, "postgres"], { encoding: "utf8" });
    return found.status === 0 ? Number(found.stdout) : 65_534;
  };
  const [uid, gid] = [id("-u"), id("-g")];
  chownSync(folder, uid, gid);
  return { uid, gid };
}

function collation(binaries: string): string[] {
  const help = execFileSync(join(binaries, "initdb"), ["--help"], { encoding: "utf8" });
  return help.includes("--icu-locale")
    ? ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
    : ["--locale=C.UTF-8"];
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Resolves when the server says that it accepts connections. */
function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = "";
    const deadline = setTimeout(() => reject(new Error(`PostgreSQL is not ready:\n${text}`)), READY_MS);
    server.once("error", reject);
    server.once("exit", () => reject(new Error(`PostgreSQL ended:\n${text}`)));
    server.stderr!.setEncoding("utf8").on("data", (chunk: string) => {
      // Kept until it is ready; later lines are read and dropped.
      if (text.length < 65_536) text += chunk;
      if (!text.includes("ready to accept connections")) return;
      clearTimeout(deadline);
      resolve();
    });
  });
}

/** SIGINT: PostgreSQL's fast shutdown, which ends its sessions. */
function ended(server: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) {
      resolve();
      return;
    }
    server.once("exit", () => resolve());
    server.kill("SIGINT");
  });
}
