import type pg from "pg";

/** Opens a connection to PostgreSQL beside the pool, whose caller ends it; a query that takes longer than `queryMs` rejects. */
export type OpenConnection = (queryMs: number) => Promise<pg.Client>;
