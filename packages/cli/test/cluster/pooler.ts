/** A PgBouncer for tests that lends out a connection for each transaction: LISTEN and session locks do not work. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { freePort } from "../free-port.ts";
import { accountFor } from "./postgres-server.ts";

const READY_MS = 120_000;

/** Undefined when it is not installed. Debian installs it outside the PATH of ordinary users. */
export function findPgBouncer(): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"];
  return folders.map((folder) => join(folder, "pgbouncer")).find((file) => existsSync(file));
}

/** Starts it in front of the PostgreSQL at `databasePort`. */
export async function startPgBouncer(
  program: string,
  databasePort: number,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "coder-pgbouncer-"));
  const account = accountFor(folder);
  const port = await freePort();
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    if (account.uid !== undefined && account.gid !== undefined) chownSync(path, account.uid, account.gid);
    return path;
  };
  const users = file("users.txt", '"postgres" ""\n');
  const settings = file(
    "pgbouncer.ini",
    `[databases]
* = host=127.0.0.1 port=${databasePort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
max_client_conn = 500
default_pool_size = 20
`,
  );
  const pooler = spawn(program, [settings], { ...account, cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  const close = async (): Promise<void> => {
    pooler.kill("SIGTERM");
    if (pooler.pid !== undefined && pooler.exitCode === null && pooler.signalCode === null) await once(pooler, "exit");
    rmSync(folder, { recursive: true, force: true });
  };
  let log = "";
  try {
    await new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`PgBouncer is not ready:\n${log}`)), READY_MS);
      pooler.once("error", reject);
      pooler.once("exit", () => reject(new Error(`PgBouncer ended:\n${log}`)));
      pooler.stderr.setEncoding("utf8").on("data", (chunk: string) => {
        // Kept until it is ready; later lines are discarded.
        if (log.length < 65_536) log += chunk;
        if (!log.includes("process up")) return;
        clearTimeout(deadline);
        resolve();
      });
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, close };
}
