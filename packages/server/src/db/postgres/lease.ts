import type { PostgresPoolClient, PostgresQueryResult } from "kysely";
import type { PoolClient, QueryConfig } from "pg";
import { storableText } from "../../base/text.ts";
import { keepsStatements } from "../direct-sessions.ts";
import { DatabaseAway, databaseBusy, failureKind } from "./failures.ts";
import type { StatementNames } from "./statement-names.ts";

/** The source from which a lease gets another connection, and to which it reports a lost one. */
export interface ConnectionSource {
  acquire(): Promise<PoolClient>;
  lost(error: unknown): void;
  readonly names: StatementNames;
}

/** Maximum number of replacement connections for a query on which nothing depends yet. */
const MAX_REPLACED = 3;
const BEGIN = /^(begin|start transaction)\b/;
const READ = /^select\b(?!.*\bfor update\b)/is;

/**
 * One connection, lent for one query or one transaction. If the database ends the connection before the first statement of a
 * transaction or before a reading query is done, it is replaced silently; otherwise the work fails with DatabaseAway.
 */
export class Lease implements PostgresPoolClient {
  readonly #connections: ConnectionSource;
  /** Undefined if the connection ended and there was no other. */
  #client: PoolClient | undefined;
  #inTransaction = false;
  #failed: DatabaseAway | undefined;

  constructor(client: PoolClient, connections: ConnectionSource) {
    this.#client = client;
    this.#connections = connections;
  }

  query<Row>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<Row>>;
  query(cursor: never): never;
  async query<Row>(sql: string, parameters: readonly unknown[] = []): Promise<PostgresQueryResult<Row>> {
    if (this.#failed !== undefined) {
      // The transaction ended with its connection.
      if (sql === "rollback") return { command: "ROLLBACK", rowCount: 0, rows: [] };
      throw this.#failed;
    }
    const repeatable = !this.#inTransaction && (BEGIN.test(sql) || READ.test(sql));
    for (let replaced = 0; ; replaced++) {
      try {
        return await this.#send<Row>(sql, parameters);
      } catch (error) {
        if (this.#connections.names.failed(sql, error)) {
          // It did not run, so it can be sent again. But if it was part of a transaction, that has failed.
          if (this.#inTransaction || replaced === MAX_REPLACED) throw error;
          continue;
        }
        if (!repeatable || this.#failed === undefined || replaced === MAX_REPLACED) throw error;
        this.#client?.release(true);
        this.#client = undefined;
        this.#client = await this.#connections.acquire();
        this.#failed = undefined;
      }
    }
  }

  release(destroy = false): void {
    this.#client?.release(destroy || this.#failed !== undefined);
  }

  async #send<Row>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<Row>> {
    try {
      if (this.#client === undefined) throw new DatabaseAway(undefined);
      const client = this.#client;
      const name = keepsStatements(client) ? this.#connections.names.nameOf(sql) : undefined;
      const result = await client.query({ name, text: sql, values: parameters.map(storable) } as QueryConfig);
      if (BEGIN.test(sql)) this.#inTransaction = true;
      else if (sql === "commit" || sql === "rollback") this.#inTransaction = false;
      return result as unknown as PostgresQueryResult<Row>;
    } catch (error) {
      const kind = failureKind(error);
      if (kind === "busy") throw databaseBusy();
      if (kind !== "lost" && kind !== "read-only") throw error;
      const outcomeUnknown = sql === "commit" || (!this.#inTransaction && !READ.test(sql) && !BEGIN.test(sql));
      this.#failed = new DatabaseAway(error, outcomeUnknown && kind === "lost");
      this.#connections.lost(error);
      throw this.#failed;
    }
  }
}

function storable(value: unknown): unknown {
  if (typeof value === "string") return storableText(value);
  return Array.isArray(value) ? value.map(storable) : value;
}
