import type pg from "pg";

/** Opens a connection to PostgreSQL beside the pool, whose caller ends it; a query that takes longer than `queryMs` rejects. */
export type OpenConnection = (queryMs: number) => Promise<pg.Client>;

const END_MS = 1_000;

/** Ends a connection in good order, or without it when the database does not close its side within a second. */
export async function endSoon(client: pg.Client): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), END_MS);
  await client.end().finally(() => clearTimeout(timer));
}
