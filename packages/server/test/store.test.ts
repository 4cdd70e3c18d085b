import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import type { Kysely } from "kysely";
import { afterEach, beforeEach, expect, test } from "vitest";
import { presentServerError, ServerError } from "../src/base/errors.ts";
import { createLogger } from "../src/base/log.ts";
import { parseServerConfig } from "../src/config/parse.ts";
import { MAX_CONNECTION_REPORTS } from "../src/db/connection-reports.ts";
import { migrate, type RunStep } from "../src/db/migrate.ts";
import { migrations } from "../src/db/migrations/index.ts";
import { Store } from "../src/db/store.ts";
import { createServer } from "../src/server.ts";
import { loadServerKeys, writeNewKeys } from "../src/state/key-file.ts";
import { acquireStateDir } from "../src/state/state-dir.ts";
import { addWorkspace, firstUser, startServer, TextCollector, temporaryDirectory } from "./helpers.ts";

let directory: string;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function errorOf(work: () => unknown): Promise<ServerError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof ServerError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

test("one process at a time: the second learns which process has the directory, and a release lets it in", async () => {
  const first = acquireStateDir(directory);
  const error = await errorOf(() => acquireStateDir(directory));
  expect(error.code).toBe("ERR_STATE_DIR_IN_USE");
  expect(presentServerError(error)).toBe(
    `The state directory "${directory}" is in use: another coder server (process ${process.pid}) holds it\n` +
      "  Try: stop that server, or choose another directory with --state-dir\n  (ERR_STATE_DIR_IN_USE)",
  );
  first.release();
  first.release();
  acquireStateDir(directory).release();
});

test("directory, database and keys are readable for their user only, even under a permissive umask", async () => {
  const old = process.umask(0);
  try {
    const state = join(directory, "state");
    mkdirSync(state, { mode: 0o777 });
    const dir = acquireStateDir(state);
    loadServerKeys(dir.keysPath, false);
    const store = await Store.open(dir.databasePath, 0);
    const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
    expect(mode(state)).toBe("700");
    expect(mode(dir.databasePath)).toBe("600");
    expect(mode(dir.keysPath)).toBe("600");
    await store.close();
    dir.release();
  } finally {
    process.umask(old);
  }
});

test("an unusable directory is named", async () => {
  writeFileSync(join(directory, "file"), "");
  const error = await errorOf(() => acquireStateDir(join(directory, "file", "state")));
  expect(error.code).toBe("ERR_STATE_DIR");
  if (process.getuid?.() !== 0) {
    chmodSync(directory, 0o500);
    expect((await errorOf(() => acquireStateDir(join(directory, "state")))).why).toBe(
      "it is not writable for this user",
    );
  }
});

test("security 39: keys are made at random and damaged or default ones are refused", async () => {
  const dir = acquireStateDir(directory);
  const { keys } = loadServerKeys(dir.keysPath, false);
  expect(loadServerKeys(dir.keysPath, true)).toEqual({ keys, isNew: false });
  const text = readFileSync(dir.keysPath, "utf8");
  const spoil = async (content: string) => {
    writeFileSync(dir.keysPath, content);
    return (await errorOf(() => loadServerKeys(dir.keysPath, true))).code;
  };
  expect(await spoil("")).toBe("ERR_KEY_FILE");
  expect(await spoil("{}")).toBe("ERR_KEY_FILE");
  expect(await spoil(text.slice(0, 40))).toBe("ERR_KEY_FILE");
  const parsed: Record<string, string> = JSON.parse(text);
  expect(await spoil(JSON.stringify({ ...parsed, signing: "00".repeat(32) }))).toBe("ERR_KEY_FILE");
  expect(await spoil(JSON.stringify({ ...parsed, signing: parsed["csrf"] }))).toBe("ERR_KEY_FILE");
  // A refused file must not be overwritten, because an administrator may still recover it.
  expect(existsSync(dir.keysPath)).toBe(true);
  dir.release();
});

test("a key file that is missing or of another deployment is noticed, and none is made", async () => {
  const first = await startServer({ stateDir: directory, keep: true, store: "sqlite" });
  await first.server.close();
  rmSync(join(directory, "keys.json"));
  const config = parseServerConfig({ "state-dir": directory, "http-address": "127.0.0.1:0" }, { homeDir: directory });
  const log = createLogger({ sink: new TextCollector(), level: "info", format: "json" });
  const missing = await errorOf(() => createServer(config, { log }));
  expect([missing.code, missing.title]).toEqual([
    "ERR_KEY_FILE",
    `There is no key file "${join(directory, "keys.json")}"`,
  ]);
  expect(existsSync(join(directory, "keys.json"))).toBe(false);
  writeNewKeys(join(directory, "keys.json"));
  const other = await errorOf(() => createServer(config, { log }));
  expect([other.code, other.title]).toEqual(["ERR_KEY_FILE", "The key file does not belong to this database"]);
  // The directory was released as well.
  acquireStateDir(directory).release();
});

test("SQLite runs with WAL, full synchronization and foreign keys", async () => {
  const path = join(directory, "coder.db");
  const store = await Store.open(path, 0);
  expect(await store.integrityCheck()).toBe("ok");
  await expect(
    store.apiKeys.insert({
      id: "AAAAAAAAAA",
      user_id: "nobody",
      secret_hash: "",
      login_type: "token",
      scope: "all",
      token_name: "",
      lifetime_seconds: 1,
      created_at: 0,
      updated_at: 0,
      last_used: 0,
      expires_at: 0,
    }),
  ).rejects.toThrow(/FOREIGN KEY/);
  const reader = new DatabaseSync(path);
  expect(reader.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  reader.close();
  await store.close();
  await store.close();
});

test("migrations run once, in order, and a failing one leaves nothing behind", async () => {
  const versions = migrations.map((migration) => migration.version);
  expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
  const { Kysely, SqliteDialect } = await import("kysely");
  const { NodeSqliteDatabase } = await import("../src/db/node-sqlite.ts");
  const sqlite = new DatabaseSync(join(directory, "m.db"));
  const db = new Kysely<import("../src/db/schema.ts").Database>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(sqlite) }),
  });
  const runStep: RunStep = (step) => db.transaction().execute(step);
  expect(await migrate(db, 1, runStep)).toEqual(versions);
  expect(await migrate(db, 2, runStep)).toEqual([]);
  const second = {
    version: versions.at(-1)! + 1,
    name: "half",
    up: async (transaction: Kysely<unknown>) => {
      await transaction.schema.createTable("half").addColumn("id", "text").execute();
      throw new Error("power cut");
    },
  };
  await expect(migrate(db, 3, runStep, [...migrations, second])).rejects.toThrow("power cut");
  const tables = sqlite
    .prepare("select name from sqlite_master where type = 'table'")
    .all()
    .map((row) => row["name"]);
  expect(tables).not.toContain("half");
  expect(tables).toContain("workspaces");
  const whole = {
    ...second,
    up: async (transaction: Kysely<unknown>) => {
      await transaction.schema.createTable("half").addColumn("id", "text").execute();
    },
  };
  expect(await migrate(db, 4, runStep, [...migrations, whole])).toEqual([whole.version]);
  const error = await errorOf(() => migrate(db, 5, runStep));
  expect(error.code).toBe("ERR_STORE_TOO_NEW");
  await db.destroy();
});

test("a file that is not a database is refused, not replaced", async () => {
  const path = join(directory, "coder.db");
  writeFileSync(path, "this is a letter, not a database ".repeat(100));
  expect((await errorOf(() => Store.open(path, 0))).code).toBe("ERR_STORE_DAMAGED");
  expect(readFileSync(path, "utf8")).toContain("a letter");
});

test("a rejected transaction undoes everything, and others wait for it instead of mixing in", async () => {
  const store = await Store.open(join(directory, "coder.db"), 0);
  const user = (id: string) => ({
    id,
    email: `${id}@example.com`,
    username: id,
    name: "",
    password_hash: "",
    role: "member" as const,
    status: "active" as const,
    created_at: 0,
    updated_at: 0,
    last_seen_at: null,
    deleted_at: null,
  });
  const opened = Promise.withResolvers<void>();
  const sent = Promise.withResolvers<void>();
  const failing = store.transaction(async ({ users }) => {
    await users.insert(user("a"));
    opened.resolve();
    await sent.promise;
    throw new Error("no");
  });
  await opened.promise;
  // Sent while the transaction is open; it must not be rolled back with it.
  const outside = store.users.insert(user("b"));
  sent.resolve();
  await expect(failing).rejects.toThrow("no");
  await outside;
  expect((await store.users.list({ search: "", limit: 10, offset: 0 })).users.map((row) => row.id)).toEqual(["b"]);
  await store.close();
});

test("connection reports are bounded per agent", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const agent_id: string = workspace.latest_build.resources[0].agents[0].id;
  const { store } = test.server.parts;
  await store.transaction(async ({ connectionReports }) => {
    for (let i = 0; i < MAX_CONNECTION_REPORTS + 20; i++) {
      await connectionReports.append({
        agent_id,
        connection_id: String(i),
        action: "connect",
        type: "ssh",
        ip: "",
        status_code: 0,
        reason: "",
        reported_at: i,
      });
    }
  });
  const rows = await store.connectionReports.list(agent_id, 10_000);
  expect(rows).toHaveLength(MAX_CONNECTION_REPORTS);
  expect(rows[0]?.connection_id).toBe(String(MAX_CONNECTION_REPORTS + 19));
});

test("a port in use and a certificate that cannot be read stop the start with a sentence", async () => {
  await using running = await startServer();
  const inUse = await errorOf(() => startServer({ flags: { "http-address": `127.0.0.1:${running.port}` } }));
  expect(presentServerError(inUse)).toBe(
    `Cannot listen on "127.0.0.1:${running.port}": another program uses that address\n` +
      "  Try: stop it, or choose another address with --http-address\n  (ERR_PORT_IN_USE)",
  );
  const flags = {
    "tls-enable": true,
    "tls-address": "127.0.0.1:0",
    "tls-cert-file": join(directory, "no.pem"),
    "tls-key-file": join(directory, "no.key"),
  };
  const noCert = await errorOf(() => startServer({ flags }));
  expect(noCert).toMatchObject({ code: "ERR_TLS_CERTIFICATE", why: "there is no such file" });
  writeFileSync(join(directory, "no.pem"), "junk");
  writeFileSync(join(directory, "no.key"), "junk");
  expect(await errorOf(() => startServer({ flags }))).toMatchObject({ code: "ERR_TLS_CERTIFICATE" });
});

test("closing ends open requests and sockets, and may be called twice", async () => {
  const test = await startServer({ keep: true, stateDir: directory });
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const headers = { [SESSION_TOKEN_HEADER]: token };
  const watching = await fetch(`${test.url}/api/v2/workspaces/${workspace.id}/watch`, { headers });
  const reader = watching.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; !text.includes("event: data"); ) text += (await reader.read()).value;
  await Promise.all([test.server.close(), test.server.close()]);
  while (!(await reader.read()).done);
  acquireStateDir(directory).release();
});
