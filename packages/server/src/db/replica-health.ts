import { type Kysely, sql } from "kysely";
import { DATABASE_NOW_MS } from "./dialect.ts";
import type { Database } from "./schema.ts";

/** Longer reports are not read; stored-report.ts never writes one. */
export const MAX_REPORT_LENGTH = 32 * 1024;
/** Maximum number of servers that are shown. */
const MAX_REPLICAS = 256;

export interface ReplicaHealthRow {
  readonly id: string;
  /** JSON; undefined if it is longer than any report that a server writes. */
  readonly health: string | undefined;
  /** Age of the report by the database's clock. */
  readonly ageMs: number;
}

/** The last health report of each server that shares the PostgreSQL database. */
export class ReplicaHealths {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** A server has a row once it has joined; before that nothing is written. */
  async write(replicaId: string, health: string): Promise<void> {
    await sql`update replicas set health = ${health}, health_at = ${DATABASE_NOW_MS} where id = ${replicaId}`.execute(
      this.#db,
    );
  }

  async read(): Promise<readonly ReplicaHealthRow[]> {
    const { rows } = await sql<{ id: string; health: string | null; age: number }>`
      select id, case when length(health) <= ${MAX_REPORT_LENGTH} then health end as health,
          ${DATABASE_NOW_MS} - health_at as age
        from replicas where health is not null and stopped_at is null
        order by health_at desc limit ${MAX_REPLICAS}`.execute(this.#db);
    return rows.map(({ id, health, age }) => ({ id, health: health ?? undefined, ageMs: age }));
  }
}
