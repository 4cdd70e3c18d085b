import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { findPostgres } from "./postgres-server.ts";
import { RELAYED, TestCluster } from "./test-cluster.ts";

const SERVERS = 3;
const BEAT_MS = 1_000;
const eventually = { timeout: 120_000, interval: 100 };
const binaries = findPostgres();
const missing = binaries === undefined ? "PostgreSQL" : "nothing";

const LATER = "00000000-0000-4000-8000-00000000aaaa";
const NOW = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

/** The schema of a release that only adds, and declares that older programs may continue to use it. */
const SCHEMA = `
  alter table tailnet_servers add column added_later text not null default 'later';
  alter table tailnet_peers add column added_later bytea;
  alter table tailnet_tunnels add column added_later bigint not null default 7;
  alter table tailnet_signals add column added_later bigint not null default 7;
  alter table cluster_events add column added_later bigint not null default 7;
  alter table replicas add column added_later text;
  alter table agents add column added_later text;
  create table added_later (id text primary key);
  insert into schema_migrations (version, name, applied_at, compatible_from) values (9999, 'a later one', 0, 9)`;

/** A server of the next protocol version, with a peer and events of kinds that this release does not know. */
const JOIN = `
  insert into tailnet_servers (id, replica_id, protocol, head, heartbeat_at) values ('${LATER}', '${LATER}', 2, 3, ${NOW});
  insert into tailnet_peers (server, id, rev, state, kind, session, key, node, reason, changed_at)
    values ('${LATER}', '00000000-0000-4000-8000-00000000bbbb', 1, 0, 9, ${NOW}, null, null, '', ${NOW});
  insert into cluster_events (server, rev, kind, body, created_at)
    values ('${LATER}', 2, 'weather', '"fine"', ${NOW}), ('${LATER}', 3, 'weather', 'not JSON', ${NOW})`;

const BEAT = `update tailnet_servers set heartbeat_at = ${NOW} where id = '${LATER}';
  select pg_notify('coder_tn', '${LATER} 3 and more')`;

describe.skipIf(binaries === undefined)(
  `three servers beside one of the next release (missing here: ${missing})`,
  () => {
    let cluster: TestCluster;
    let agentId: string;

    beforeAll(async () => {
      cluster = await TestCluster.start({ servers: SERVERS, binaries: binaries! });
      agentId = await cluster.startWorkspace("demo");
    });
    afterAll(async () => {
      await cluster?.close();
    });

    it("keep sessions on its schema and beside its rows, take new ones, and start there", async () => {
      const open = await cluster.openSessions("demo");
      await cluster.postgres.query(SCHEMA);
      await cluster.postgres.query(JOIN);
      let beating: Promise<unknown> = Promise.resolve();
      const beats = setInterval(() => {
        beating = cluster.postgres.query(BEAT);
      }, BEAT_MS);
      try {
        for (let index = 0; index < SERVERS; index++) {
          await cluster.stopServer(index, "SIGTERM");
          await cluster.startServer(index);
          for (const session of open) await session.goesOn(20);
          const done = await cluster.run(["ssh", "demo", "--", "echo", "here"], index % 2 === 0 ? {} : RELAYED);
          expect(done).toMatchObject({ code: 0, stdout: "here\n" });
        }
      } finally {
        clearInterval(beats);
        await beating;
      }
      for (const { log } of cluster.servers) expect(log).not.toContain("not valid");
      for (const session of open) await session.end();
      await vi.waitFor(
        async () => expect(await cluster.peers()).toEqual({ agents: [agentId], clients: 0 }),
        eventually,
      );
    });
  },
);
