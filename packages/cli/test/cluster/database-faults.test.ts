import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { EchoSession } from "./echo-session.ts";
import { findPostgres } from "./postgres-server.ts";
import { RELAYED, TestCluster } from "./test-cluster.ts";
import { Watcher } from "./watcher.ts";

const SERVERS = 3;
const KILLS = 10;
const eventually = { timeout: 120_000, interval: 100 };
const binaries = findPostgres();
const missing = binaries === undefined ? "PostgreSQL" : "nothing";

const KILL_BACKENDS = `select count(pg_terminate_backend(pid)) from pg_stat_activity
  where backend_type = 'client backend' and pid <> pg_backend_pid()`;

describe.skipIf(binaries === undefined)(`three servers that lose the database (missing here: ${missing})`, () => {
  let cluster: TestCluster;
  let agentId: string;

  beforeAll(async () => {
    cluster = await TestCluster.start({ servers: SERVERS, binaries: binaries! });
    agentId = await cluster.startWorkspace("demo");
  });
  afterEach(() => {
    for (const { toDatabase } of cluster.servers) toDatabase.mend();
  });
  afterAll(async () => {
    await cluster?.close();
  });

  const indices = [...Array(SERVERS).keys()];

  /** Retries as a user would: when a commit is cut off, no server knows whether it took effect. */
  async function comes(extra: NodeJS.ProcessEnv): Promise<EchoSession> {
    for (;;) {
      const session = new EchoSession(cluster, "demo", extra);
      try {
        await session.goesOn(5);
        return session;
      } catch (error) {
        if (!String(error).includes("The database does not answer")) throw error;
      }
    }
  }

  it("deliver every change after each second of ten ended all connections to it", async () => {
    const open = await cluster.openSessions("demo");
    const coming: Promise<EchoSession>[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      await cluster.postgres.query(KILL_BACKENDS);
      // New clients cause changes at whichever servers they are connected to.
      if (kill % 3 === 0) coming.push(comes(kill % 2 === 0 ? {} : RELAYED));
      await open[0]!.goesOn(20);
    }
    open.push(...(await Promise.all(coming)));
    for (const session of open) await session.goesOn(5);
    for (const session of open) await session.end();
    await vi.waitFor(async () => expect(await cluster.peers()).toEqual({ agents: [agentId], clients: 0 }), eventually);
    expect(await cluster.run(["ssh", "demo", "--", "echo", "after"])).toMatchObject({ code: 0, stdout: "after\n" });
  });

  it("keep the sessions of one that is cut from it, list that one no longer, and list it again", async () => {
    const open = await cluster.openSessions("demo");
    const cut = await cluster.serverOf(agentId);
    const others = indices.filter((index) => index !== cut);
    cluster.servers[cut]!.toDatabase.cut();
    await vi.waitFor(() => expect(cluster.servers[cut]!.log).toContain("isolated"), eventually);
    for (const index of others)
      await vi.waitFor(async () => expect(await cluster.replicas(index)).toHaveLength(SERVERS - 1), eventually);
    for (const session of open) await session.goesOn(20);
    cluster.servers[cut]!.toDatabase.mend();
    for (const index of indices)
      await vi.waitFor(async () => expect(await cluster.replicas(index)).toHaveLength(SERVERS), eventually);
    for (const session of open) await session.goesOn(20);
    for (const session of open) await session.end();
    expect(await cluster.run(["ssh", "demo", "--", "echo", "after"])).toMatchObject({ code: 0, stdout: "after\n" });
  });

  it("end no connection and lose no peer while all of them are cut from it", async () => {
    const open = await cluster.openSessions("demo");
    const watchers = await Promise.all(
      indices.map((index) => Watcher.open(cluster.serverUrl(index), cluster.token, agentId)),
    );
    for (const { updates } of watchers) await vi.waitFor(() => expect(updates).toEqual(["node"]), eventually);
    const { control } = cluster.balancer;
    expect(control.size).toBe(1 + open.length);
    const ending = new EchoSession(cluster, "demo");
    await ending.goesOn(5);
    for (const { toDatabase } of cluster.servers) toDatabase.cut();
    for (const server of cluster.servers)
      await vi.waitFor(() => expect(server.log).toContain("isolated: other servers"), eventually);
    // The agent reports its end to a server that cannot store anything.
    await ending.end();
    for (const session of open) await session.goesOn(40);
    for (const { toDatabase } of cluster.servers) toDatabase.mend();
    for (const index of indices)
      await vi.waitFor(async () => expect(await cluster.replicas(index)).toHaveLength(SERVERS), eventually);
    for (const session of open) await session.goesOn(20);
    const ended = [...control].filter(({ destroyed }) => destroyed);
    expect({ ended: ended.length, open: cluster.balancer.control.size }, cluster.lastLines()).toEqual({
      ended: 0,
      open: control.size,
    });
    for (const { updates } of watchers) expect(updates.filter((update) => update !== "node")).toEqual([]);
    for (const session of open) await session.end();
    expect(await cluster.run(["ssh", "demo", "--", "echo", "after"])).toMatchObject({ code: 0, stdout: "after\n" });
    for (const watcher of watchers) await watcher.close();
  });
});
