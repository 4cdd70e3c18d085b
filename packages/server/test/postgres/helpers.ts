/** What the tests of the PostgreSQL store share. */
import { join } from "node:path";
import { createLogger } from "../../src/base/log.ts";
import { openBackend } from "../../src/db/open-backend.ts";
import { PostgresBackend, type PostgresOptions } from "../../src/db/postgres/backend.ts";
import { Store } from "../../src/db/store.ts";
import { TextCollector, temporaryDirectory } from "../helpers.ts";
import { dropTestDatabase, testDatabase } from "./test-database.ts";

export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  readonly log: TextCollector;
  readonly directory: string;
  options(more?: Partial<PostgresOptions>): PostgresOptions;
  open(more?: Partial<PostgresOptions>): Promise<PostgresBackend>;
}

/** An empty schema with its own URL. */
export async function emptyDatabase(): Promise<TestDatabase> {
  const directory = temporaryDirectory();
  const url = String((await testDatabase(directory))["postgres-url"]);
  const log = new TextCollector();
  const options = (more: Partial<PostgresOptions> = {}): PostgresOptions => ({
    source: { url },
    maxOpen: 4,
    maxIdle: 1,
    applicationName: "coder 00000000",
    log: createLogger({ sink: log, level: "debug", format: "json" }),
    ...more,
  });
  return {
    url,
    log,
    directory,
    options,
    open: (more) => PostgresBackend.open(options(more)),
    [Symbol.asyncDispose]: () => dropTestDatabase(directory),
  };
}

/** A store on the SQLite file of a directory. */
export async function sqliteStore(directory: string): Promise<Store> {
  const log = createLogger({ sink: new TextCollector(), level: "error", format: "json" });
  return Store.on(await openBackend({ file: join(directory, "coder.db") }, { applicationName: "test", log }), 0);
}

/** A row for users.insert. */
export function userRow(id: string, username = id) {
  return {
    id,
    email: `${username}@example.com`,
    username,
    name: "",
    password_hash: "",
    role: "member" as const,
    status: "active" as const,
    created_at: 0,
    updated_at: 0,
    last_seen_at: null,
    deleted_at: null,
  };
}
