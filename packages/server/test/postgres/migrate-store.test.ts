import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { migrateStore } from "../../src/backup/migrate-store.ts";
import { STORE_TABLES } from "../../src/backup/store-tables.ts";
import { createLogger } from "../../src/base/log.ts";
import { Store } from "../../src/db/store.ts";
import {
  addMember,
  addWorkspace,
  firstUser,
  send,
  startServer,
  TextCollector,
  temporaryDirectory,
} from "../helpers.ts";
import { emptyDatabase, userRow } from "./helpers.ts";
import { TEST_DATABASE_PASSWORD } from "./test-database.ts";

const log = createLogger({ sink: new TextCollector(), level: "error", format: "json" });
const common = { dryRun: false, now: 1, signal: new AbortController().signal, log };

/** A state directory with users, workspaces and logs, whose server has stopped. */
async function deployment(): Promise<{ stateDir: string; token: string; workspaceId: string }> {
  await using server = await startServer({ store: "sqlite", keep: true });
  const { token } = await firstUser(server.url);
  await addMember(server.url, token, "bob");
  const workspace = await addWorkspace(server.url, token, "Work-1");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  await server.server.parts.agentState.appendLogs(agentId, undefined, [
    { level: "info", output: "NUL \0, a lone \ud800 and 🐘", createdAt: 5 },
  ]);
  return { stateDir: server.stateDir, token, workspaceId: workspace.id };
}

const hashOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const namesIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => !name.startsWith("server."))
    .sort();

test("security R22: a store is moved completely, its source stays the same byte for byte, and servers continue with the new one", async () => {
  const { stateDir, token, workspaceId } = await deployment();
  await using database = await emptyDatabase();
  const before = hashOf(join(stateDir, "coder.db"));
  const names = namesIn(stateDir);
  const dry = await migrateStore({ ...common, from: { stateDir }, to: { url: database.url }, dryRun: true });
  expect(dry.find(({ table }) => table === "users")?.rows).toBe(2);
  const copies = await migrateStore({ ...common, from: { stateDir }, to: { url: database.url } });
  expect(copies).toEqual(dry);
  expect(copies.map(({ table }) => table)).toEqual(STORE_TABLES);
  expect(hashOf(join(stateDir, "coder.db"))).toBe(before);
  expect(namesIn(stateDir)).toEqual([...names, "MIGRATED_TO"].sort());
  const moved = readFileSync(join(stateDir, "MIGRATED_TO"), "utf8");
  expect(moved).toContain("@127.0.0.1:");
  expect(moved).not.toContain(TEST_DATABASE_PASSWORD);
  await expect(startServer({ stateDir, store: "sqlite", keep: true })).rejects.toMatchObject({
    code: "ERR_STATE_DIR",
    why: expect.stringContaining("the deployment is in postgres://"),
  });
  {
    await using server = await startServer({
      stateDir,
      keep: true,
      store: "sqlite",
      flags: { "postgres-url": database.url },
    });
    const answer = await send(server.url, "GET", `/api/v2/workspaces/${workspaceId}`, { token });
    expect([answer.status, answer.json.name]).toEqual([200, "Work-1"]);
    const other = { from: { url: database.url }, to: { stateDir: temporaryDirectory() } };
    await expect(migrateStore({ ...common, ...other })).rejects.toMatchObject({ code: "ERR_STATE_DIR_IN_USE" });
    rmSync(other.to.stateDir, { recursive: true });
  }
  // The move back.
  const back = temporaryDirectory();
  const returned = await migrateStore({ ...common, from: { url: database.url }, to: { stateDir: back } });
  expect(returned.find(({ table }) => table === "agent_logs")).toEqual(
    copies.find(({ table }) => table === "agent_logs"),
  );
  expect(returned.map(({ rows }) => rows)).toEqual(copies.map(({ rows }) => rows));
  cpSync(join(stateDir, "keys.json"), join(back, "keys.json"));
  await using server = await startServer({ stateDir: back, store: "sqlite" });
  expect((await send(server.url, "GET", `/api/v2/workspaces/${workspaceId}`, { token })).status).toBe(200);
  rmSync(stateDir, { recursive: true });
});

test("security R22: a target with users is refused, and a move that fails leaves nothing behind", async () => {
  const { stateDir } = await deployment();
  await using full = await emptyDatabase();
  const store = await Store.on(await full.open(), 0);
  await store.users.insert(userRow("u"));
  await store.close();
  const names = namesIn(stateDir);
  await expect(migrateStore({ ...common, from: { stateDir }, to: { url: full.url } })).rejects.toMatchObject({
    why: "it holds 1 users, and moving a store never overwrites one",
  });
  const signal = AbortSignal.abort(new Error("stopped"));
  await using empty = await emptyDatabase();
  await expect(migrateStore({ ...common, from: { stateDir }, to: { url: empty.url }, signal })).rejects.toThrow(
    "stopped",
  );
  const backend = await empty.open();
  expect(await backend.isEmpty()).toBe(true);
  await backend.close();
  expect(namesIn(stateDir)).toEqual(names);
  expect(existsSync(join(stateDir, "MIGRATED_TO"))).toBe(false);
  await using untouched = await startServer({ stateDir, store: "sqlite" });
  expect((await send(untouched.url, "GET", "/api/v2/users/first")).status).toBe(200);
});
