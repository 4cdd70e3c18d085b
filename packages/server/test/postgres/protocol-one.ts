/**
 * A server of cluster protocol 1, reduced to what it shares with others: its rows, hints and statements, as in the first release
 * with a cluster. It represents that release in tests of later ones, so it never changes with them.
 */
import { randomUUID } from "node:crypto";
import pg from "pg";

const NOW = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

export interface PeerOfOne {
  readonly id: string;
  /** 0: here; 1: disconnected; 2: lost; 3: expelled. */
  readonly state?: number;
  /** 0: an agent; 1: a client. */
  readonly kind: number;
  readonly key: Uint8Array;
  /** A Node message. */
  readonly node: Uint8Array;
}

export interface RowsOfOne {
  readonly peers?: readonly PeerOfOne[];
  readonly tunnels?: readonly { readonly from: string; readonly to: string; readonly gone?: number }[];
  readonly signals?: readonly { readonly from: string; readonly to: string }[];
  readonly events?: readonly { readonly kind: string; readonly body: string }[];
}

export interface RowOfOne {
  readonly kind_of_row: "peer" | "tunnel" | "signal" | "event";
  readonly a: string;
  readonly b: string;
  readonly rev: number;
  readonly state: number;
  readonly kind: number;
  readonly key: Buffer | null;
  readonly reason: string;
}

export class ServerOfOne implements AsyncDisposable {
  readonly id = randomUUID();
  /** Notifications from its siblings, as received. */
  readonly hints: string[] = [];
  readonly #client: pg.Client;
  readonly #protocol: number;
  readonly #behindHint: string;
  readonly #beats: NodeJS.Timeout;
  #beating: Promise<unknown> = Promise.resolve();
  #head = 0;

  /** @param later Another protocol, and what it appends to a hint. */
  static async join(url: string, later: { protocol?: number; behindHint?: string } = {}): Promise<ServerOfOne> {
    const client = new pg.Client({ connectionString: url, types: { getTypeParser: numbers } });
    await client.connect();
    const server = new ServerOfOne(client, later.protocol ?? 1, later.behindHint ?? "");
    await client.query(
      `insert into tailnet_servers (id, replica_id, protocol, head, heartbeat_at) values ($1, $2, $3, 0, ${NOW})`,
      [server.id, randomUUID(), server.#protocol],
    );
    await client.query("listen coder_tn");
    return server;
  }

  private constructor(client: pg.Client, protocol: number, behindHint: string) {
    this.#client = client;
    this.#protocol = protocol;
    this.#behindHint = behindHint;
    client.on("notification", ({ payload }) => void this.hints.push(payload ?? ""));
    this.#beats = setInterval(() => {
      this.#beating = client.query(`update tailnet_servers set heartbeat_at = ${NOW} where id = $1`, [this.id]);
    }, 1_000);
  }

  async write({ peers = [], tunnels = [], signals = [], events = [] }: RowsOfOne): Promise<void> {
    const next = (): number => ++this.#head;
    for (const { from, to, gone = 0 } of tunnels)
      await this.#client.query(
        `insert into tailnet_tunnels (server, src, dst, rev, gone, changed_at) values ($1, $2, $3, $4, $5, ${NOW})
          on conflict (server, src, dst) do update set rev = excluded.rev, gone = excluded.gone`,
        [this.id, from, to, next(), gone],
      );
    for (const { id, state = 0, kind, key, node } of peers)
      await this.#client.query(
        `insert into tailnet_peers (server, id, rev, state, kind, session, key, node, reason, changed_at)
          values ($1, $2, $3, $4, $5, ${NOW}, $6, $7, '', ${NOW})
          on conflict (server, id) do update set rev = excluded.rev, state = excluded.state, node = excluded.node`,
        [this.id, id, next(), state, kind, Buffer.from(key), Buffer.from(node)],
      );
    for (const { from, to } of signals)
      await this.#client.query(
        `insert into tailnet_signals (server, rev, src, dst, changed_at) values ($1, $2, $3, $4, ${NOW})`,
        [this.id, next(), from, to],
      );
    for (const { kind, body } of events)
      await this.#client.query(
        `insert into cluster_events (server, rev, kind, body, created_at) values ($1, $2, $3, $4, ${NOW})`,
        [this.id, next(), kind, body],
      );
    await this.#client.query(`update tailnet_servers set head = $2, heartbeat_at = ${NOW} where id = $1`, [
      this.id,
      this.#head,
    ]);
    await this.#client.query("select pg_notify('coder_tn', $1)", [`${this.id} ${this.#head}${this.#behindHint}`]);
  }

  /** Everything that the other servers have written. */
  async read(): Promise<readonly RowOfOne[]> {
    const { rows: servers } = await this.#client.query<{ id: string; head: number }>(
      "select id, head from tailnet_servers where id <> $1",
      [this.id],
    );
    const all: RowOfOne[] = [];
    for (const { id, head } of servers)
      all.push(...(await this.#client.query<RowOfOne>(READ, [id, 0, head, 2_000])).rows);
    return all;
  }

  async nodeOf(id: string): Promise<Uint8Array | undefined> {
    const { rows } = await this.#client.query<{ node: Buffer | null }>(
      "select node from tailnet_peers where server <> $1 and id = $2 and state = 0",
      [this.id, id],
    );
    return rows[0]?.node ?? undefined;
  }

  /** Records that this server is stopping. */
  async drain(): Promise<void> {
    await this.#client.query(`update tailnet_servers set draining_at = ${NOW} where id = $1`, [this.id]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beats);
    await this.#beating;
    await this.#client.end();
  }
}

const READ = `select 'peer' as kind_of_row, id as a, '' as b, rev, state, kind, session, key, reason
    from tailnet_peers where server = $1 and rev > $2 and rev <= $3
  union all select 'tunnel', src, dst, rev, gone, 0, 0, null, '' from tailnet_tunnels
    where server = $1 and rev > $2 and rev <= $3
  union all select 'signal', src, dst, rev, 0, 0, 0, null, '' from tailnet_signals
    where server = $1 and rev > $2 and rev <= $3
  union all select 'event', kind, '', rev, 0, 0, 0, null, body from cluster_events
    where server = $1 and rev > $2 and rev <= $3
  order by rev limit $4`;

/** Reads bigint as a number. */
function numbers(oid: number, format?: "text" | "binary") {
  return oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format);
}
