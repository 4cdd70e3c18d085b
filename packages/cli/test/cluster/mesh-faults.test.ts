import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { EchoSession } from "./echo-session.ts";
import { findPostgres } from "./postgres-server.ts";
import { RELAYED, TestCluster } from "./test-cluster.ts";

const SERVERS = 2;
const SESSIONS = 2;
const RUNS = 2;
const eventually = { timeout: 120_000, interval: 100 };
const binaries = findPostgres();
const missing = binaries === undefined ? "PostgreSQL" : "nothing";

describe.skipIf(binaries === undefined)(
  `servers whose relays are cut from each other (missing here: ${missing})`,
  () => {
    let cluster: TestCluster;
    let agentId: string;

    beforeAll(async () => {
      cluster = await TestCluster.start({ servers: SERVERS, binaries: binaries! });
      cluster.balancer.preferred = 0;
      agentId = await cluster.startWorkspace("demo");
      expect(await cluster.run(["ssh", "demo", "--", "true"])).toMatchObject({ code: 0 });
    });
    afterAll(async () => {
      await cluster?.close();
    });

    it("keep relayed sessions, take new ones, name the fault, and link again", async () => {
      // The agent is connected to the first server, its clients to the second.
      cluster.balancer.preferred = 1;
      const open = Array.from({ length: SESSIONS }, () => new EchoSession(cluster, "demo", RELAYED));
      for (const session of open) await session.goesOn(5);
      cluster.balancer.preferred = undefined;
      for (const { toRelay } of cluster.servers) toRelay.cut();
      for (const index of cluster.servers.keys())
        await vi.waitFor(
          async () =>
            expect((await cluster.replicas(index)).map(({ error }) => error)).toEqual(
              Array(SERVERS).fill(expect.stringContaining("Failed to dial peers")),
            ),
          eventually,
        );
      for (const session of open) await session.goesOn(20);
      for (let run = 0; run < RUNS; run++)
        expect(await cluster.run(["ssh", "demo", "--", "echo", "cut"], RELAYED)).toMatchObject({
          code: 0,
          stdout: "cut\n",
        });
      for (const { toRelay } of cluster.servers) toRelay.mend();
      for (const index of cluster.servers.keys())
        await vi.waitFor(
          async () => expect((await cluster.replicas(index)).map(({ error }) => error)).toEqual(["", ""]),
          eventually,
        );
      for (const session of open) await session.goesOn(20);
      for (const session of open) await session.end();
      await vi.waitFor(
        async () => expect(await cluster.peers()).toEqual({ agents: [agentId], clients: 0 }),
        eventually,
      );
    });
  },
);
