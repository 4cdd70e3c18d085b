import type { PostgresPool } from "kysely";
import pg from "pg";
import { ServerError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { ConnectionPool } from "../backend.ts";
import { noteSession } from "../direct-sessions.ts";
import { DatabaseAway, databaseBusy, failureKind, failureText } from "./failures.ts";
import { type ConnectionSource, Lease } from "./lease.ts";
import { StatementNames } from "./statement-names.ts";
import type { Target } from "./target.ts";
import { valueTypes } from "./values.ts";
import { pause } from "./wait.ts";

export interface ConnectionsOptions {
  readonly target: Target;
  readonly maxOpen: number;
  readonly maxIdle: number;
  /** How other servers and the database's administrator see this process. */
  readonly applicationName: string;
  readonly log: Pick<Logger, "warn" | "info" | "debug">;
}

const OLDEST_VERSION = 13;
const CONNECT_MS = 3_000;
/** Queries that may wait for a connection while all are in use. Beyond that a request is refused at once. */
const MAX_WAITING = 1_000;
/** How long to look for a host that serves while none does, in ms. */
const FIND_MS = 2_000;
const FIRST_PAUSE_MS = 10;
/** A query that waits longer for a connection marks the pool as exhausted. */
const LONG_WAIT_MS = 1_000;
const QUERY_MS = 10_000;

/** Shorter than the time after which the client gives up on the connection, so that the database ends the work first. */
const SESSION_SETTINGS =
  "set statement_timeout = 9000; set lock_timeout = 5000; set idle_in_transaction_session_timeout = 15000";

/**
 * The connections to PostgreSQL: at most `maxOpen`, each checked before its first query. If a server stops or becomes a standby,
 * all of them are dropped, so that the next query reconnects. Kysely uses this as its pool.
 */
export class Connections implements PostgresPool, ConnectionSource, ConnectionPool {
  readonly options = {};
  readonly names = new StatementNames();
  readonly #settings: ConnectionsOptions;
  #pool: pg.Pool;
  /** Since when no connection could be made, by performance.now(). */
  #awaySince: number | undefined;
  #ending: Promise<void> | undefined;
  #exhaustedAt: number | undefined;

  constructor(settings: ConnectionsOptions) {
    this.#settings = settings;
    this.#pool = this.#newPool();
  }

  get max(): number {
    return this.#settings.maxOpen;
  }
  get idle(): number {
    return this.#pool.idleCount;
  }
  get used(): number {
    return this.#pool.totalCount - this.#pool.idleCount;
  }
  get waiting(): number {
    return this.#pool.waitingCount;
  }
  get exhaustedAt(): number | undefined {
    return this.#exhaustedAt;
  }

  async connect(): Promise<Lease> {
    return new Lease(await this.acquire(), this);
  }

  /** A checked connection, which the caller releases. Throws DatabaseAway, DomainError "busy" or ServerError. */
  async acquire(): Promise<pg.PoolClient> {
    const deadline = performance.now() + FIND_MS;
    for (let attempt = 0; ; attempt++) {
      try {
        const client = await this.tryOnce();
        this.#returned();
        return client;
      } catch (error) {
        const kind = failureKind(error);
        if (kind === "busy") throw databaseBusy();
        if (kind === undefined || kind === "conflict") throw error;
        this.lost(error);
        const known = this.#awaySince !== undefined && performance.now() - this.#awaySince > FIND_MS;
        // While the database is known to be away, each request tries every host once.
        const enough = performance.now() > deadline || (known && attempt + 1 >= this.#settings.target.hostCount);
        if (kind === "refused" || enough) throw new DatabaseAway(error);
        await pause(FIRST_PAUSE_MS * 2 ** Math.min(attempt, 6));
      }
    }
  }

  /** One attempt at the current host; rejects with the driver's error. */
  async tryOnce(): Promise<pg.PoolClient> {
    if (this.#pool.waitingCount >= MAX_WAITING) {
      this.#exhaustedAt = performance.now();
      throw databaseBusy();
    }
    const isFull = this.#pool.totalCount >= this.#settings.maxOpen && this.#pool.idleCount === 0;
    const askedAt = performance.now();
    try {
      const client = await this.#pool.connect();
      if (isFull && performance.now() - askedAt > LONG_WAIT_MS) this.#exhaustedAt = performance.now();
      return client;
    } catch (error) {
      if (failureKind(error) !== "busy") this.#settings.target.next();
      else if (isFull) this.#exhaustedAt = performance.now();
      throw error;
    }
  }

  /** A connection failed: the others may lead to the same server, and are not used again. */
  lost(error: unknown): void {
    if (this.#awaySince !== undefined || this.#ending !== undefined) return;
    this.#awaySince = performance.now();
    this.#settings.log.warn({ reason: failureText(error) }, "the database does not answer");
    const old = this.#pool;
    this.#pool = this.#newPool();
    void old.end();
  }

  /** A connection beside the pool, which the caller has to end. Its statements may take `queryMs`; 0 means no limit. */
  async dedicated(queryMs = 0): Promise<pg.Client> {
    const client = this.#newClient({ query_timeout: queryMs });
    try {
      await client.connect();
      await checkServer(client);
      return client;
    } catch (error) {
      this.#settings.target.next();
      client.end().catch(() => undefined); // the first failure is the one that counts
      throw error;
    }
  }

  end(): Promise<void> {
    this.#ending ??= this.#pool.end();
    return this.#ending;
  }

  #returned(): void {
    if (this.#awaySince === undefined) return;
    const seconds = Math.round((performance.now() - this.#awaySince) / 1000);
    this.#awaySince = undefined;
    this.#settings.log.info({ seconds }, "the database answers again");
  }

  #newPool(): pg.Pool {
    const { maxOpen, maxIdle, log } = this.#settings;
    const newClient = (): pg.Client => this.#newClient({ query_timeout: QUERY_MS });
    const pool = new pg.Pool({
      max: maxOpen,
      min: maxIdle,
      connectionTimeoutMillis: CONNECT_MS,
      idleTimeoutMillis: 30_000,
      // Makes connections follow a fail-over and a replaced password.
      maxLifetimeSeconds: 1_800,
      // The pool calls this with `new` for each connection, and its target is chosen at that moment.
      Client: function client() {
        return newClient();
      } as unknown as typeof pg.Client,
      onConnect: async (client: pg.ClientBase) => {
        await checkServer(client);
        await client.query(SESSION_SETTINGS);
      },
    } as pg.PoolConfig);
    // An idle connection ended; the pool has already removed it.
    pool.on("error", (error) => log.debug({ reason: failureText(error) }, "an idle connection to the database ended"));
    return pool;
  }

  #newClient(options: pg.ClientConfig): pg.Client {
    const client = new pg.Client({
      ...options,
      ...this.#settings.target.connection(),
      types: valueTypes,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      connectionTimeoutMillis: CONNECT_MS,
      application_name: this.#settings.applicationName,
    });
    // While the connection is in use, its query reports the error; without a listener, the event would end the process.
    client.on("error", () => undefined);
    return client;
  }
}

/** Throws ServerError, or StandbyError for a standby. */
async function checkServer(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ version: string; encoding: string; standby: boolean; pid: number }>(
    `select current_setting('server_version_num') as version, current_setting('server_encoding') as encoding,
       pg_is_in_recovery() as standby, pg_backend_pid() as pid`,
  );
  const { version, encoding, standby, pid } = rows[0]!;
  const major = Math.floor(Number(version) / 10_000);
  if (major < OLDEST_VERSION) {
    throw new ServerError("ERR_STORE_VERSION", "The database server is too old", {
      why: `it is PostgreSQL ${major}, and ${OLDEST_VERSION} is the oldest that works`,
      nextSteps: ["update PostgreSQL"],
    });
  }
  if (encoding !== "UTF8") {
    throw new ServerError("ERR_STORE_ENCODING", "The database cannot hold every text", {
      why: `its encoding is ${encoding}, and it must be UTF8`,
      nextSteps: ["create the database with: create database coder encoding 'UTF8' template template0"],
    });
  }
  if (standby) throw new StandbyError();
  noteSession(client, pid);
}

/** Carries the code that PostgreSQL uses for a write to a standby. */
class StandbyError extends Error {
  readonly code = "25006";
  constructor() {
    super("the server is a standby");
  }
}
