import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from "kysely";
import { expect, test } from "vitest";
import type { Database } from "../../db/schema.ts";
import { requireNearProtocols } from "./protocol.ts";

/** A database in use by a server of a far release. */
function farDatabase(onLook: () => void): Kysely<Database> {
  class FarDriver extends DummyDriver {
    override async acquireConnection() {
      return {
        executeQuery: async <Row>({ sql }: { readonly sql: string }): Promise<QueryResult<Row>> => {
          if (sql.includes("to_regclass")) return { rows: [{ name: "tailnet_servers" } as Row] };
          onLook();
          return { rows: [{ protocol: 9, hostname: "far", version: "v9" } as Row] };
        },
        // biome-ignore lint/correctness/useYield: nothing is streamed
        streamQuery: async function* (): AsyncGenerator<never> {
          throw new Error("not streamed");
        },
      };
    }
  }
  return new Kysely<Database>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new FarDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });
}

test("a stop while it waits for a far server ends the start", async () => {
  const stop = new AbortController();
  const db = farDatabase(() => stop.abort(new Error("stopped")));
  await expect(requireNearProtocols(db, { everyMs: 60_000, tries: 3, signal: stop.signal })).rejects.toThrow("stopped");
});

test("a far server that stays refuses the start", async () => {
  let looks = 0;
  const db = farDatabase(() => looks++);
  await expect(requireNearProtocols(db, { everyMs: 0, tries: 3 })).rejects.toMatchObject({
    code: "ERR_CLUSTER_PROTOCOL",
  });
  expect(looks).toBe(4);
});
