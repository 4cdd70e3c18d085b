import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findPostgres } from "./postgres-server.ts";
import { TestCluster } from "./test-cluster.ts";

const SERVERS = 3;
const ROUNDS = 5;
const binaries = findPostgres();
const missing = binaries === undefined ? "PostgreSQL" : "nothing";

describe.skipIf(binaries === undefined)(`servers that start together (missing here: ${missing})`, () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await TestCluster.start({ servers: SERVERS, binaries: binaries! });
  });
  afterAll(async () => {
    await cluster?.close();
  });

  it("make one schema in an empty database, and all of them serve", async () => {
    const applied = "select version, count(*) from schema_migrations group by version order by version";
    const expected = await cluster.postgres.query(applied);
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(cluster.servers.map((_, index) => cluster.stopServer(index, "SIGKILL")));
      await cluster.postgres.query(
        "set client_min_messages = warning; drop schema public cascade; create schema public",
      );
      await Promise.all(cluster.servers.map((_, index) => cluster.startServer(index)));
      expect(await cluster.postgres.query(applied)).toBe(expected);
      for (const index of cluster.servers.keys()) {
        const answer = await cluster.api(index, "/api/v2/users/first");
        // Answered only if the schema exists: there is no user yet.
        expect({ round, index, status: answer.status }).toEqual({ round, index, status: 404 });
      }
    }
  });
});
