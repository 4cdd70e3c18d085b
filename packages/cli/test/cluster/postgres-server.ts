/** A PostgreSQL for tests: its data in a temporary folder, on a free port of the loopback interface, without a system service. */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { freePort } from "../free-port.ts";

export interface TestPostgres {
  /** The administrator's URL, without a password. */
  readonly url: string;
  readonly port: number;
  /** The main process, while it runs; its children serve the connections. */
  readonly pid: number;
  /** Like `pg_ctl stop -m fast`; `start` starts it with the same data on the same port. */
  halt(): Promise<void>;
  /** Like `pg_ctl stop -m immediate`: nothing more is written or sent to a standby. */
  crash(): Promise<void>;
  start(): Promise<void>;
  /** Like `halt`, and also removes its files. */
  stop(): Promise<void>;
  /** Returns rows as lines whose columns are separated by "|". */
  query(sql: string): Promise<string>;
  /** Starts a standby that follows this server, through `port`, until `select pg_promote()`. */
  startStandby(port: number): Promise<TestPostgres>;
}

const READY_MS = 120_000;
const SETTINGS = [
  "listen_addresses=127.0.0.1",
  "fsync=off",
  "synchronous_commit=off",
  "full_page_writes=off",
  "max_connections=200",
  "shared_buffers=64MB",
  "autovacuum=off",
];

/** The folder of initdb and postgres; undefined when it is not installed. Debian keeps it out of PATH. */
export function findPostgres(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  return [
    ...versions.map((version) => join(debian, version, "bin")),
    ...(process.env["PATH"] ?? "").split(delimiter),
  ].find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")));
}

/**
 * Starts a server whose writes need not survive a power failure. As in most installations, its collation is not that of code
 * points.
 */
export function startPostgres(binaries: string, settings: readonly string[] = []): Promise<TestPostgres> {
  return launch(binaries, settings, (data) => [
    "initdb",
    ["-D", data, "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", ...collation(binaries)],
  ]);
}

/** @param create The PostgreSQL program that makes the data folder, and its arguments. */
async function launch(
  binaries: string,
  settings: readonly string[],
  create: (data: string) => readonly [string, readonly string[]],
): Promise<TestPostgres> {
  const folder = mkdtempSync(join(tmpdir(), "coder-postgres-"));
  const account = accountFor(folder);
  const data = join(folder, "data");
  const options = {
    ...account,
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C.UTF-8" },
    cwd: folder,
  };
  const port = await freePort();
  let server: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const flags = [`unix_socket_directories=${folder}`, ...SETTINGS, ...settings].flatMap((setting) => ["-c", setting]);
    server = spawn(join(binaries, "postgres"), ["-D", data, "-p", String(port), ...flags], {
      ...options,
      stdio: ["ignore", "ignore", "pipe"],
    });
    await ready(server);
  };
  const stop = async (): Promise<void> => {
    await ended(server, "SIGINT");
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const [program, args] = create(data);
    await run(join(binaries, program), args, { ...options, stdio: ["ignore", "ignore", "inherit"] });
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    get pid() {
      return server!.pid!;
    },
    halt: () => ended(server, "SIGINT"),
    crash: () => ended(server, "SIGQUIT"),
    start,
    stop,
    query: async (sql) => {
      const connection = ["-h", "127.0.0.1", "-p", String(port), "-U", "postgres", "-d", "postgres"];
      return await run(join(binaries, "psql"), ["-X", "-A", "-t", "-q", ...connection, "-c", sql], {
        ...options,
        stdio: ["ignore", "pipe", "inherit"],
      });
    },
    startStandby: (through) =>
      launch(binaries, settings, (copy) => [
        "pg_basebackup",
        ["-h", "127.0.0.1", "-p", String(through), "-U", "postgres", "-D", copy, "-R", "--no-sync", "-c", "fast"],
      ]),
  };
}

/** Resolves with the program's output; rejects unless it succeeds. */
async function run(program: string, args: readonly string[], options: SpawnOptions): Promise<string> {
  const child = spawn(program, args, options);
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
  return text.trimEnd();
}

/** PostgreSQL and PgBouncer refuse to run as root, so another account owns the folder and the process. */
export function accountFor(folder: string): { uid?: number; gid?: number } {
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

/** Resolves when the server says that it accepts connections. */
function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = "";
    const deadline = setTimeout(() => reject(new Error(`PostgreSQL is not ready:\n${text}`)), READY_MS);
    server.once("error", reject);
    server.once("exit", () => reject(new Error(`PostgreSQL ended:\n${text}`)));
    server.stderr!.setEncoding("utf8").on("data", (chunk: string) => {
      // Kept until it is ready; later lines are discarded.
      if (text.length < 65_536) text += chunk;
      if (!/ready to accept (read-only )?connections/.test(text)) return;
      clearTimeout(deadline);
      resolve();
    });
  });
}

/** SIGINT is PostgreSQL's fast shutdown, which ends its sessions; SIGQUIT the immediate one. */
function ended(server: ChildProcess | undefined, signal: "SIGINT" | "SIGQUIT"): Promise<void> {
  return new Promise((resolve) => {
    if (server?.pid === undefined || server.exitCode !== null || server.signalCode !== null) {
      resolve();
      return;
    }
    server.once("exit", () => resolve());
    server.kill(signal);
  });
}
