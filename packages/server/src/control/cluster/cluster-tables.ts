/**
 * The statements of the cluster's coordinator, on three connections beside the pool: one writes, one reads, one listens. A
 * connection that fails is closed, and the next call opens another.
 */
import { randomUUID } from "node:crypto";
import { isCanonicalUuid } from "coder-protocol/addresses";
import type pg from "pg";
import type { AccessOutboxRow } from "../../db/access-outbox.ts";
import { endSoon, type OpenConnection } from "../../db/dedicated.ts";
import { keepsStatements } from "../../db/direct-sessions.ts";
import type { ClusterDatabase, Heartbeat, HintListener, ReadRows, Replica } from "./cluster-database.ts";
import type { Batch } from "./outbox.ts";
import { CLUSTER_PROTOCOL } from "./protocol.ts";
import type { EventRow, NodeRow, PeerKind, PeerRow, ServerRow, SignalRow, TunnelRow, WholePage } from "./rows.ts";

const MAX_READ_ROWS = 2_000;
const PROBE_MS = 2_000;
const MAX_REASON_LENGTH = 256;
const MAX_NODE_BYTES = 8 * 1024;
const KEY_BYTES = 32;
/** Records of ended peers and tunnels are kept as long as a server that does not answer is waited for. */
const KEEP_MS = 15 * 60_000;
const SIGNAL_MS = 60_000;
/** A server publishes an event as soon as it is committed. If an event waits longer, its server ended or has no database. */
const ADOPT_AFTER_MS = 2_000;
const MAX_ADOPTED = 500;
/** A replica that has not updated its row for this long counts as gone. */
const REPLICA_MS = 15_000;
const KEEP_REPLICA_MS = 24 * 3_600_000;
const MAX_ERROR_LENGTH = 1_024;
const MAX_EVENT_LENGTH = 4_096;
const HINT_CHANNEL = "coder_tn";
const PROBE_CHANNEL = "coder_probe";
const LOCK_CLASS = 7_236_121;
const SWEEP_LOCK = 3;
/**
 * Maximum time that a heartbeat waits on a silent connection. It is less than the time after which others consider this server
 * lost.
 */
const QUERY_MS = 3_000;
/** A later protocol may append further words. */
const HINT = /^([0-9a-f-]{36}) ([0-9]{1,15})(?: |$)/;

/** The database stores the index of each state. */
const STATES: readonly PeerRow["state"][] = ["here", "disconnected", "lost", "expelled"];
const KINDS: readonly PeerKind[] = ["agent", "client"];

const NOW = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

export class PostgresClusterDatabase implements ClusterDatabase {
  readonly #writer: Connection;
  readonly #reader: Connection;
  readonly #listener: Connection;

  constructor(open: OpenConnection) {
    this.#writer = new Connection(open);
    this.#reader = new Connection(open);
    this.#listener = new Connection(open);
  }

  async join(me: string, replicaId: string): Promise<void> {
    await this.#writer.run(
      `insert into tailnet_servers (id, replica_id, protocol, head, heartbeat_at) values ($1, $2, $3, 0, ${NOW})`,
      [me, replicaId, CLUSTER_PROTOCOL],
    );
  }

  async heartbeat(me: string): Promise<Heartbeat> {
    await this.#writer.run(`update tailnet_servers set heartbeat_at = ${NOW} where id = $1`, [me]);
    const rows = await this.#writer.run<HeadRow>(
      `select id, replica_id, head, ${NOW} - heartbeat_at as age, ${NOW} - draining_at as draining, ${NOW} as now,
           pg_notification_queue_usage() as queue
         from tailnet_servers`,
    );
    return { servers: rows.map(serverRow), databaseMs: rows[0]?.now, queueUsage: rows[0]?.queue };
  }

  async replicas(mine: Replica): Promise<readonly Replica[]> {
    await this.#writer.run(STATE_REPLICA, [
      mine.id,
      mine.hostname,
      mine.relayAddress,
      mine.regionId,
      mine.version,
      mine.startedAt,
      mine.error.slice(0, MAX_ERROR_LENGTH),
      mine.databaseLatencyUs,
    ]);
    const rows = await this.#writer.run<ReplicaRow>(
      `select id, hostname, relay_address, region_id, version, started_at, error, database_latency_us from replicas
         where stopped_at is null and updated_at > ${NOW} - $1::bigint order by started_at, id`,
      [REPLICA_MS],
    );
    return rows.map(replica);
  }

  async write(me: string, { peers, tunnels, signals, events, head }: Batch, written: number): Promise<boolean> {
    const rows = await this.#writer.run(WRITE, [
      me,
      head,
      peers.map(({ id }) => id),
      peers.map(({ rev }) => rev),
      peers.map(({ state }) => STATES.indexOf(state)),
      peers.map(({ kind }) => KINDS.indexOf(kind)),
      peers.map(({ session }) => session),
      peers.map(({ key }) => bufferOf(key)),
      peers.map(({ node }) => bufferOf(node)),
      peers.map(({ reason }) => reason.replaceAll("\0", "").slice(0, MAX_REASON_LENGTH)),
      tunnels.map(({ from }) => from),
      tunnels.map(({ to }) => to),
      tunnels.map(({ rev }) => rev),
      tunnels.map(({ gone }) => (gone ? 1 : 0)),
      signals.map(({ rev }) => rev),
      signals.map(({ from }) => from),
      signals.map(({ to }) => to),
      events.map(({ rev }) => rev),
      events.map(({ kind }) => kind),
      events.map(({ body }) => body),
      events.flatMap(({ outboxId }) => outboxId ?? []),
      written,
    ]);
    return rows.length === 1;
  }

  async adopt(): Promise<readonly AccessOutboxRow[]> {
    return await this.#writer.run<AccessOutboxRow>(ADOPT, [ADOPT_AFTER_MS, MAX_ADOPTED]);
  }

  async hint(me: string, head: number): Promise<void> {
    await this.#writer.run("select pg_notify($1, $2)", [HINT_CHANNEL, `${me} ${head}`]);
  }

  async read(server: string, after: number, upTo: number): Promise<ReadRows> {
    const rows = await this.#reader.run<AnyRow>(READ, [server, after, upTo, MAX_READ_ROWS]);
    const { read, events, bad } = readRows(rows);
    return { rows: read, events, seen: rows.length < MAX_READ_ROWS ? upTo : rows.at(-1)!.rev, bad };
  }

  async readWhole(server: string, after: number): Promise<WholePage> {
    const rows = await this.#reader.run<AnyRow>(READ_WHOLE, [server, after, MAX_READ_ROWS]);
    const { read, bad } = readRows(rows);
    const seen = rows.at(-1)?.rev ?? after;
    if (rows.length === MAX_READ_ROWS) return { rows: read, bad, seen, head: "more" };
    const heads = await this.#reader.run<Pick<HeadRow, "head">>("select head from tailnet_servers where id = $1", [
      server,
    ]);
    return { rows: read, bad, seen, head: heads[0]?.head };
  }

  async nodes(server: string, ids: readonly string[]): Promise<readonly NodeRow[]> {
    const rows = await this.#reader.run<{ readonly id: string; readonly rev: number; readonly node: Buffer | null }>(
      "select id, rev, node from tailnet_peers where server = $1 and id = any($2) and state = 0",
      [server, ids],
    );
    return rows
      .filter(({ node }) => node === null || node.length <= MAX_NODE_BYTES)
      .map(({ id, rev, node }) => ({ id, rev, node: node ?? undefined }));
  }

  async heads(): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#reader.run<Pick<HeadRow, "id" | "head">>("select id, head from tailnet_servers");
    return new Map(rows.map(({ id, head }) => [id, head]));
  }

  async listen({ onHint, onLost }: HintListener): Promise<boolean> {
    const client = await this.#listener.open();
    const nonce = randomUUID();
    const probed = Promise.withResolvers<boolean>();
    client.on("notification", ({ channel, payload = "" }) => {
      if (channel === PROBE_CHANNEL && payload === nonce) probed.resolve(true);
      const [, server, head] = channel === HINT_CHANNEL ? (HINT.exec(payload) ?? []) : [];
      if (server !== undefined) onHint(server, Number(head));
    });
    const ended = (): void => {
      probed.resolve(true); // The connection was lost, which says nothing about whether hints are delivered.
      onLost(new Error("the listening connection ended"));
    };
    client.once("end", ended);
    await this.#listener.run(`listen ${HINT_CHANNEL}`);
    await this.#listener.run(`listen ${PROBE_CHANNEL}`);
    // Sent over another connection: through a pooler, a notification to the same connection would arrive, although those of other
    // servers do not.
    await this.#reader.run("select pg_notify($1, $2)", [PROBE_CHANNEL, nonce]);
    const timer = setTimeout(() => probed.resolve(false), PROBE_MS);
    const delivers = await probed.promise;
    clearTimeout(timer);
    if (!delivers) {
      client.off("end", ended);
      await this.#listener.end();
    }
    return delivers;
  }

  async drain(me: string): Promise<void> {
    await this.#writer.run(`update tailnet_servers set draining_at = ${NOW} where id = $1`, [me]);
  }

  async leave(replicaId: string): Promise<void> {
    await this.#writer.run(`update replicas set stopped_at = ${NOW} where id = $1`, [replicaId]);
  }

  async sweep(): Promise<void> {
    await this.#writer.run(SWEEP, [LOCK_CLASS, SWEEP_LOCK, KEEP_MS, SIGNAL_MS, KEEP_REPLICA_MS]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#writer.end(), this.#reader.end(), this.#listener.end()]);
  }
}

/** One connection, opened on first use and again after a failure. */
class Connection {
  readonly #open: OpenConnection;
  /** The names of the statements by their text. There are few of them. */
  readonly #names = new Map<string, string>();
  #client: pg.Client | undefined;

  constructor(open: OpenConnection) {
    this.#open = open;
  }

  async open(): Promise<pg.Client> {
    if (this.#client !== undefined) return this.#client;
    const client = await this.#open(QUERY_MS);
    client.once("end", () => this.#forget(client));
    this.#client = client;
    return client;
  }

  async run<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const client = await this.open();
    try {
      const name = keepsStatements(client) ? this.#nameOf(text) : undefined;
      const { rows } = await client.query<Row>({ name, text, values: [...values] } as pg.QueryConfig);
      return rows;
    } catch (error) {
      // After a time-out the connection is unusable, and after any other failure it is not needed.
      this.#forget(client);
      endSoon(client).catch(() => undefined); // the first failure is the one that counts
      throw error;
    }
  }

  async end(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client !== undefined) await endSoon(client);
  }

  /** The name under which the connection prepares a statement; undefined if it cannot be prepared. */
  #nameOf(text: string): string | undefined {
    if (text.startsWith("listen ")) return undefined;
    const name = this.#names.get(text) ?? `c${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }

  #forget(client: pg.Client): void {
    if (this.#client === client) this.#client = undefined;
  }
}

interface HeadRow {
  readonly id: string;
  readonly replica_id: string;
  readonly head: number;
  readonly age: number;
  readonly draining: number | null;
  readonly now: number;
  readonly queue: number;
}

interface AnyRow {
  readonly kind_of_row: "peer" | "tunnel" | "signal" | "event";
  readonly a: string;
  readonly b: string;
  readonly rev: number;
  readonly state: number;
  readonly kind: number;
  readonly session: number;
  readonly key: Buffer | null;
  readonly reason: string;
}

interface ReplicaRow {
  readonly id: string;
  readonly hostname: string;
  readonly relay_address: string;
  readonly region_id: number;
  readonly version: string;
  readonly started_at: number;
  readonly error: string;
  readonly database_latency_us: number;
}

function replica(row: ReplicaRow): Replica {
  return {
    id: row.id,
    hostname: row.hostname,
    relayAddress: URL.canParse(row.relay_address) ? row.relay_address : "",
    regionId: row.region_id,
    version: row.version,
    startedAt: row.started_at,
    error: row.error,
    databaseLatencyUs: row.database_latency_us,
  };
}

function serverRow({ id, replica_id: replicaId, head, age, draining }: HeadRow): ServerRow {
  return { id, replicaId, head, ageMs: age, drainingMs: draining ?? undefined };
}

function peerRow({ a: id, rev, session, key, reason, ...row }: AnyRow): PeerRow | undefined {
  const [state, kind] = [STATES[row.state], KINDS[row.kind]];
  if (state === undefined || kind === undefined || reason.length > MAX_REASON_LENGTH) return undefined;
  if (key !== null && key.length !== KEY_BYTES) return undefined;
  return { id, rev, state, kind, session, key: key ?? undefined, reason };
}

function bufferOf(bytes: Uint8Array | undefined): Buffer | null {
  return bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

const STATE_REPLICA = `insert into replicas (id, hostname, relay_address, region_id, version, started_at, updated_at, error,
    database_latency_us) values ($1, $2, $3, $4, $5, $6, ${NOW}, $7, $8)
  on conflict (id) do update set updated_at = excluded.updated_at, error = excluded.error,
    database_latency_us = excluded.database_latency_us`;

/** Sorts the rows and counts those that break a limit. */
function readRows(rows: readonly AnyRow[]) {
  const read = { peers: [] as PeerRow[], tunnels: [] as TunnelRow[], signals: [] as SignalRow[] };
  const events: EventRow[] = [];
  let bad = 0;
  for (const row of rows) {
    const { rev, a: from, b: to } = row;
    if (row.kind_of_row === "event") {
      if (row.reason.length > MAX_EVENT_LENGTH) bad++;
      else events.push({ rev, kind: from, body: row.reason });
      continue;
    }
    // A kind that a later protocol added: no peer here may have a tunnel to it.
    if (row.kind_of_row === "peer" && row.kind >= KINDS.length) continue;
    const peer = row.kind_of_row === "peer" ? peerRow(row) : undefined;
    if (!isCanonicalUuid(from) || (row.kind_of_row !== "peer" ? !isCanonicalUuid(to) : peer === undefined)) bad++;
    else if (peer !== undefined) read.peers.push(peer);
    else if (row.kind_of_row === "tunnel") read.tunnels.push({ from, to, rev, gone: row.state !== 0 });
    else read.signals.push({ from, to, rev });
  }
  return { read, events, bad };
}

/**
 * The statement of a batch that timed out may still run after that of a later batch. It then writes nothing.
 * A lost peer may be ended later without its session, so the greater one is kept. The commit does not wait for the disk, because
 * every peer announces its node again after a crash. The setting is local to this transaction, as a pooler may lend the
 * connection to others.
 */
const WRITE = `with me as (update tailnet_servers set head = $2, heartbeat_at = ${NOW} where id = $1 and head >= $22
    and head < $2 returning id),
  p as (insert into tailnet_peers (server, id, rev, state, kind, session, key, node, reason, changed_at)
    select me.id, x.id, x.rev, x.state, x.kind, x.session, x.key, x.node, x.reason, ${NOW} from me,
      unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bytea[], $10::text[])
        as x (id, rev, state, kind, session, key, node, reason)
    on conflict (server, id) do update set rev = excluded.rev, state = excluded.state, kind = excluded.kind,
      session = greatest(excluded.session, tailnet_peers.session), key = excluded.key, node = excluded.node,
      reason = excluded.reason, changed_at = excluded.changed_at),
  t as (insert into tailnet_tunnels (server, src, dst, rev, gone, changed_at)
    select me.id, x.src, x.dst, x.rev, x.gone, ${NOW} from me,
      unnest($11::text[], $12::text[], $13::bigint[], $14::bigint[]) as x (src, dst, rev, gone)
    on conflict (server, src, dst) do update set rev = excluded.rev, gone = excluded.gone,
      changed_at = excluded.changed_at),
  s as (insert into tailnet_signals (server, rev, src, dst, changed_at)
    select me.id, x.rev, x.src, x.dst, ${NOW} from me,
      unnest($15::bigint[], $16::text[], $17::text[]) as x (rev, src, dst)),
  e as (insert into cluster_events (server, rev, kind, body, created_at)
    select me.id, x.rev, x.kind, x.body, ${NOW} from me,
      unnest($18::bigint[], $19::text[], $20::text[]) as x (rev, kind, body)),
  o as (delete from access_outbox using me where access_outbox.id = any($21::text[]))
  select id, set_config('synchronous_commit', 'off', true) from me`;

const READ_WHOLE = `select 'peer' as kind_of_row, id as a, '' as b, rev, state, kind, session, key, reason
    from tailnet_peers where server = $1 and rev > $2
  union all select 'tunnel', src, dst, rev, gone, 0, 0, null, '' from tailnet_tunnels where server = $1 and rev > $2
  order by rev limit $3`;

const READ = `select 'peer' as kind_of_row, id as a, '' as b, rev, state, kind, session, key, reason
    from tailnet_peers where server = $1 and rev > $2 and rev <= $3
  union all select 'tunnel', src, dst, rev, gone, 0, 0, null, '' from tailnet_tunnels
    where server = $1 and rev > $2 and rev <= $3
  union all select 'signal', src, dst, rev, 0, 0, 0, null, '' from tailnet_signals
    where server = $1 and rev > $2 and rev <= $3
  union all select 'event', kind, '', rev, 0, 0, 0, null, body from cluster_events
    where server = $1 and rev > $2 and rev <= $3
  order by rev limit $4`;

/** Claims events for a while: if this server ends before it has published them, another gets them. */
const ADOPT = `update access_outbox set created_at = ${NOW} where id in
    (select id from access_outbox where created_at < ${NOW} - $1::bigint order by created_at limit $2 for update skip locked)
  returning id, body`;

/** Does nothing while another server is sweeping. */
const SWEEP = `with sweeper as materialized (select ${NOW} as now where pg_try_advisory_xact_lock($1::int, $2::int)),
  expired as (delete from tailnet_servers using sweeper where heartbeat_at < sweeper.now - $3::bigint
    returning tailnet_servers.id),
  p as (delete from tailnet_peers using sweeper where server in (select id from expired)
    or (state <> 0 and changed_at < sweeper.now - $3::bigint)),
  t as (delete from tailnet_tunnels using sweeper where server in (select id from expired)
    or (gone <> 0 and changed_at < sweeper.now - $3::bigint)),
  s as (delete from tailnet_signals using sweeper where server in (select id from expired)
    or changed_at < sweeper.now - $4::bigint),
  e as (delete from cluster_events using sweeper where server in (select id from expired)
    or created_at < sweeper.now - $3::bigint),
  r as (delete from replicas using sweeper where updated_at < sweeper.now - $5::bigint)
  select count(*) from sweeper`;
