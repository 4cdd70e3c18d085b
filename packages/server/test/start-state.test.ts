/** How the server handles an existing state directory. */
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isDiskFull } from "../src/base/errors.ts";
import { acquireStateDir } from "../src/state/state-dir.ts";
import { firstUser, send, startServer, temporaryDirectory } from "./helpers.ts";

async function deploymentOnDisk(): Promise<string> {
  await using server = await startServer({ keep: true, store: "sqlite" });
  await firstUser(server.url);
  return server.stateDir;
}

test.each([
  ["empty", (database: string) => writeFileSync(database, "")],
  ["missing", () => undefined],
])(
  "security 42: a database that is %s beside keys from before does not open the setup of a first user",
  async (_what, replace) => {
    const stateDir = await deploymentOnDisk();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(join(stateDir, `coder.db${suffix}`), { force: true });
    replace(join(stateDir, "coder.db"));
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(startServer({ stateDir, keep: true, store: "sqlite" })).rejects.toMatchObject({
        code: "ERR_STORE_DAMAGED",
        why: "a deployment was here whose database is lost",
      });
    }
    rmSync(join(stateDir, "coder.db"));
    rmSync(join(stateDir, "keys.json"));
    await using restarted = await startServer({ stateDir, store: "sqlite" });
    expect((await send(restarted.url, "GET", "/api/v2/users/first")).status).toBe(404);
  },
);

test("no other user can read the lock, and a wider mode is narrowed", () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "server.lock"), "", { mode: 0o644 });
  const before = process.umask(0);
  try {
    acquireStateDir(directory).release();
    expect(statSync(join(directory, "server.lock")).mode & 0o777).toBe(0o600);
  } finally {
    process.umask(before);
    rmSync(directory, { recursive: true });
  }
});

test.skipIf(!existsSync("/dev/full"))("a full disk is distinguished from other faults", async () => {
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(":memory:");
  database.exec("PRAGMA max_page_count = 2; CREATE TABLE t (x)");
  const errorOf = (act: () => void): unknown => {
    try {
      act();
    } catch (error) {
      return error;
    }
    return undefined;
  };
  expect(isDiskFull(errorOf(() => database.exec("INSERT INTO t VALUES (zeroblob(100000))")))).toBe(true);
  expect(isDiskFull(errorOf(() => writeFileSync("/dev/full", "x")))).toBe(true);
  expect(isDiskFull(errorOf(() => database.exec("nonsense")))).toBe(false);
  database.close();
});

test("logins of one IPv6 customer are counted together", async () => {
  await using server = await startServer({
    flags: { "proxy-trusted-origins": "127.0.0.1/32", "proxy-trusted-headers": "X-Forwarded-For" },
  });
  const attempt = async (from: string, n: number) =>
    (
      await send(server.url, "POST", "/api/v2/users/login", {
        body: { email: `unknown${n}@example.com`, password: "x" },
        headers: { "X-Forwarded-For": from },
      })
    ).status;
  for (let n = 0; n < 60; n++) expect(await attempt(`2001:db8::${(n + 1).toString(16)}`, n)).toBe(401);
  expect(await attempt("2001:db8::ffff", 60)).toBe(429);
  expect(await attempt("2001:db8:0:1::1", 61)).toBe(401);
});

test("weak passwords and the reserved name me are refused, with the reason", async () => {
  await using server = await startServer();
  const { token } = await firstUser(server.url);
  const create = async (username: string, password: string) => {
    const body = { email: `${username}@example.com`, username, password, organization_ids: [] };
    const answer = await send(server.url, "POST", "/api/v2/users", { token, body });
    return [answer.status, answer.json?.validations?.[0]?.detail];
  };
  expect(await create("bob", "password")).toEqual([400, "is among the most common passwords"]);
  expect(await create("bob", "aaaaaaaa")).toEqual([400, "must have at least 5 different characters"]);
  expect(await create("Me", "correct horse battery")).toEqual([400, "is a reserved name"]);
  expect((await create("bob", "correct horse battery"))[0]).toBe(201);
});
