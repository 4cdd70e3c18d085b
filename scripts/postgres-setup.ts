/** Vitest's global set-up of the postgres tier: one PostgreSQL for all its tests. */
import { findPostgres, startPostgres } from "../packages/cli/test/cluster/postgres-server.ts";

export default async function setup(): Promise<(() => Promise<void>) | undefined> {
  const binaries = findPostgres();
  if (binaries === undefined) {
    process.stderr.write("no PostgreSQL (initdb and postgres) on this machine: the tests are skipped\n");
    return undefined;
  }
  const postgres = await startPostgres(binaries);
  process.env["CODER_TEST_POSTGRES"] = postgres.url;
  process.env["CODER_TEST_POSTGRES_BINARIES"] = binaries;
  return () => postgres.stop();
}
