import { join } from "node:path";
import type { Backend } from "./backend.ts";
import type { PostgresOptions } from "./postgres/backend.ts";
import { SqliteBackend } from "./sqlite-backend.ts";

/** The location of a store: a SQLite file, or a PostgreSQL database. */
export type StorePlace =
  | { readonly file: string }
  | { readonly postgres: Pick<PostgresOptions, "source" | "maxOpen" | "maxIdle"> };

/** The location of the store of a server with these settings. */
export function storePlaceOf(config: {
  readonly stateDir: string;
  readonly postgres: Pick<PostgresOptions, "source" | "maxOpen" | "maxIdle"> | undefined;
}): StorePlace {
  const { stateDir, postgres } = config;
  return postgres === undefined ? { file: join(stateDir, "coder.db") } : { postgres };
}

/** Opens a database. The PostgreSQL driver is loaded only if it is needed. Throws ServerError. */
export async function openBackend(
  place: StorePlace,
  options: Omit<PostgresOptions, "source" | "maxOpen" | "maxIdle">,
): Promise<Backend> {
  if ("file" in place) return new SqliteBackend(place.file, options.onQuery);
  const { PostgresBackend } = await import("./postgres/backend.ts");
  return await PostgresBackend.open({ ...place.postgres, ...options });
}
