import type pg from "pg";

/**
 * Opens a connection to PostgreSQL beside the pool, which the caller has to end; a query that takes longer than `queryMs`
 * rejects.
 */
export type OpenConnection = (queryMs: number) => Promise<pg.Client>;

const END_MS = 1_000;

/** Ends a connection properly, or destroys it if the database does not close its side within a second. */
export async function endSoon(client: pg.Client): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), END_MS);
  await client.end().finally(() => clearTimeout(timer));
}
