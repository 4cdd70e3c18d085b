import type { PoolClient } from "pg";
import { describe, expect, it } from "vitest";
import { DatabaseAway } from "./failures.ts";
import { Lease } from "./lease.ts";
import { StatementNames } from "./statement-names.ts";

/** Calls the lease as kysely does. */
const query = (lease: Lease, sql: string) => lease.query<number>(sql, []);

/** Connections of which the first `broken` fail at the first query sent on them. */
function leased(broken: number) {
  let lent = 0;
  const released: boolean[] = [];
  const connection = (): PoolClient => {
    const isBroken = lent++ < broken;
    return {
      query: async () => {
        if (isBroken) throw new Error("Connection terminated unexpectedly");
        return { rows: [lent] };
      },
      release: (destroy: boolean) => released.push(destroy),
    } as unknown as PoolClient;
  };
  const lease = new Lease(connection(), {
    acquire: async () => connection(),
    lost: () => undefined,
    names: new StatementNames(),
  });
  return { lease, released, lent: () => lent };
}

describe("a connection that the database ends", () => {
  it.each([
    [1, "select 1"],
    [3, "select 1"],
    [3, "begin"],
  ])("is replaced %i times in a row for %j, of which nothing has been done", async (broken, sql) => {
    const { lease, released } = leased(broken);
    expect((await query(lease, sql)).rows).toEqual([broken + 1]);
    lease.release();
    expect(released).toEqual([...Array(broken).fill(true), false]);
  });

  it("is replaced only a limited number of times", async () => {
    const { lease, lent } = leased(Number.POSITIVE_INFINITY);
    await expect(query(lease, "select 1")).rejects.toBeInstanceOf(DatabaseAway);
    expect(lent()).toBe(4);
  });

  it.each(["insert into t values (1)", "select 1 from t for update"])("is not replaced for %j", async (sql) => {
    const { lease, lent } = leased(1);
    await expect(query(lease, sql)).rejects.toBeInstanceOf(DatabaseAway);
    expect(lent()).toBe(1);
  });

  it("is not replaced within a transaction, which ended with it", async () => {
    let ends = false;
    const client = {
      query: async () => {
        if (ends) throw new Error("Connection terminated unexpectedly");
        return { rows: [] };
      },
      release: () => undefined,
    } as unknown as PoolClient;
    const acquired: string[] = [];
    const acquire = async (): Promise<PoolClient> => {
      acquired.push("another one");
      return client;
    };
    const lease = new Lease(client, { acquire, lost: () => undefined, names: new StatementNames() });
    await query(lease, "begin");
    ends = true;
    await expect(query(lease, "select 1")).rejects.toBeInstanceOf(DatabaseAway);
    await expect(query(lease, "select 2")).rejects.toBeInstanceOf(DatabaseAway);
    expect((await query(lease, "rollback")).command).toBe("ROLLBACK");
    expect(acquired).toEqual([]);
  });
});
