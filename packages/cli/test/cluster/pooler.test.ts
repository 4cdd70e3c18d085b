import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { findPgBouncer, startPgBouncer } from "./pooler.ts";
import { findPostgres } from "./postgres-server.ts";
import { RELAYED, TestCluster } from "./test-cluster.ts";
import { Watcher } from "./watcher.ts";

const SERVERS = 3;
const RUNS = 3;
const eventually = { timeout: 120_000, interval: 100 };
const binaries = findPostgres();
const pooler = findPgBouncer();
const missing = binaries === undefined ? "PostgreSQL" : pooler === undefined ? "PgBouncer" : "nothing";

describe.skipIf(missing !== "nothing")(
  `three servers behind PgBouncer's transaction mode (missing here: ${missing})`,
  () => {
    let cluster: TestCluster;
    let agentId: string;

    beforeAll(async () => {
      cluster = await TestCluster.start({
        servers: SERVERS,
        binaries: binaries!,
        database: ({ port }) => startPgBouncer(pooler!, port),
      });
      agentId = await cluster.startWorkspace("demo");
    });
    afterAll(async () => {
      await cluster?.close();
    });

    it("ask for the changes of each other, reach a workspace every time, and keep sessions while one is killed", async () => {
      for (const { log } of cluster.servers) expect(log).toContain("the database delivers no notifications");
      const open = await cluster.openSessions("demo");
      for (let run = 0; run < RUNS; run++) {
        const done = await cluster.run(["ssh", "demo", "--", "echo", `run ${run}`], run % 2 === 0 ? {} : RELAYED);
        expect(done).toMatchObject({ code: 0, stdout: `run ${run}\n` });
      }
      const killed = await cluster.serverOf(agentId);
      await cluster.stopServer(killed, "SIGKILL");
      for (const session of open) await session.goesOn(20);
      await cluster.startServer(killed);
      for (const session of open) await session.goesOn(20);
      for (const session of open) await session.end();
      await vi.waitFor(
        async () => expect(await cluster.peers()).toEqual({ agents: [agentId], clients: 0 }),
        eventually,
      );
    });

    it("security R10: end what a login has open at each of them once it is revoked at one", async () => {
      const headers = { "Content-Type": "application/json" };
      const body = JSON.stringify({ token_name: "watch" });
      const made = await cluster.api(0, "/api/v2/users/me/keys/tokens", { method: "POST", headers, body });
      const { key } = (await made.json()) as { key: string };
      const watchers = await Promise.all(
        [...cluster.servers.keys()].map((index) => Watcher.open(cluster.serverUrl(index), key, agentId)),
      );
      for (const { updates } of watchers) await vi.waitFor(() => expect(updates).toContain("node"), eventually);
      const revoked = await cluster.api(0, `/api/v2/users/me/keys/${key.split("-")[0]}`, { method: "DELETE" });
      expect(revoked.ok).toBe(true);
      for (const { updates } of watchers) await vi.waitFor(() => expect(updates.at(-1)).toBe("end"), eventually);
    });

    it("leave no lock behind in the connections that it lends", async () => {
      expect(await cluster.postgres.query("select count(*) from pg_locks where locktype = 'advisory'")).toBe("0");
    });
  },
);
