import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { expect, test } from "vitest";
import { loadServerKeys, writeNewKeys } from "../../src/state/key-file.ts";
import { addWorkspace, agentToken, firstUser, PASSWORD, send, startServer, temporaryDirectory } from "../helpers.ts";
import { emptyDatabase } from "./helpers.ts";
import { TEST_DATABASE_PASSWORD } from "./test-database.ts";

/** All values of all tables that a role can see, as one text. */
async function dump(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = current_schema()",
    );
    expect(rows.length).toBeGreaterThan(10);
    const texts: string[] = [];
    for (const { name } of rows) {
      const table = await client.query(`select * from ${pg.escapeIdentifier(name)}`);
      texts.push(`${name} ${JSON.stringify(table.rows)}`);
    }
    return texts.join("\n");
  } finally {
    await client.end();
  }
}

test("security R1: the password of the database is in no log, page or error, also when the database refuses it", async () => {
  await using server = await startServer();
  const { token } = await firstUser(server.url);
  const pages = await Promise.all(
    ["/api/v2/deployment/config", "/api/v2/debug/health", "/readyz", "/api/v2/buildinfo"].map((path) =>
      send(server.url, "GET", path, { token }),
    ),
  );
  expect(pages.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  for (const { text } of pages) expect(text).not.toContain(TEST_DATABASE_PASSWORD);
  expect(server.log.text).not.toContain(TEST_DATABASE_PASSWORD);
  await using database = await emptyDatabase();
  const wrong = new URL(database.url);
  wrong.username = "no_such_role";
  const failure = await database.open({ source: { url: wrong.href } }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "ERR_STORE_UNREACHABLE" });
  expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure))).not.toContain(TEST_DATABASE_PASSWORD);
  expect(database.log.text).not.toContain(TEST_DATABASE_PASSWORD);
});

test("security R3: a server with another key file cannot join, and writes nothing", async () => {
  await using first = await startServer({ keep: true });
  await firstUser(first.url);
  const { postgres } = first.server.parts.config;
  const url = postgres !== undefined && "url" in postgres.source ? postgres.source.url : "";
  const before = await dump(url);
  const other = temporaryDirectory();
  writeNewKeys(join(other, "keys.json"));
  await expect(startServer({ stateDir: other, store: "sqlite", flags: { "postgres-url": url } })).rejects.toMatchObject(
    { code: "ERR_KEY_FILE", title: "The key file does not belong to this database" },
  );
  expect(await dump(url)).toBe(before);
  rmSync(other, { recursive: true });
});

test("security R4: a missing key file beside a used database is never replaced", async () => {
  await using first = await startServer({ keep: true });
  await firstUser(first.url);
  const { postgres } = first.server.parts.config;
  const url = postgres !== undefined && "url" in postgres.source ? postgres.source.url : "";
  const other = temporaryDirectory();
  const flags = { "postgres-url": url, "derp-server-relay-url": "http://127.0.0.1:1" };
  const joining = { stateDir: other, store: "sqlite", flags } as const;
  await expect(startServer(joining)).rejects.toMatchObject({
    code: "ERR_KEY_FILE",
    nextSteps: expect.arrayContaining([expect.stringContaining("copy keys.json from another server")]),
  });
  expect(existsSync(join(other, "keys.json"))).toBe(false);
  // With the first server's key file it joins, although that server is running: several servers use one database.
  const keys = join(other, "shared.json");
  mkdirSync(other, { recursive: true });
  const content = loadServerKeys(join(first.stateDir, "keys.json"), true);
  writeFileSync(keys, JSON.stringify(keyFileOf(content.keys)));
  await using second = await startServer({ ...joining, flags: { ...flags, "keys-file": keys } });
  expect((await send(second.url, "GET", "/api/v2/users/first")).status).toBe(200);
});

function keyFileOf(keys: ReturnType<typeof loadServerKeys>["keys"]): Record<string, unknown> {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return {
    version: 1,
    agent_token: hex(keys.agentToken),
    signing: hex(keys.signing),
    csrf: hex(keys.csrf),
    derp_private: hex(keys.derpPrivate),
  };
}

test("security R5: a dump of the database holds no password, token or key", async () => {
  await using server = await startServer();
  const { token } = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, token, "dev");
  const agent = await agentToken(server.url, token, workspace.id);
  const { postgres } = server.server.parts.config;
  const text = await dump(postgres !== undefined && "url" in postgres.source ? postgres.source.url : "");
  expect(text).toContain("ada@example.com");
  const { keys } = loadServerKeys(join(server.stateDir, "keys.json"), true);
  const secrets = [keys.agentToken, keys.signing, keys.csrf, keys.derpPrivate].flatMap((key) => [
    Buffer.from(key).toString("hex"),
    Buffer.from(key).toString("base64"),
  ]);
  for (const secret of [PASSWORD, token, token.split("-")[1]!, agent, ...secrets]) expect(text).not.toContain(secret);
});
