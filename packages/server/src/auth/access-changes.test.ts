import { describe, expect, it } from "vitest";
import type { AccessOutboxRow } from "../db/access-outbox.ts";
import type { Store, Tables } from "../db/store.ts";
import { AccessChanges } from "./access-changes.ts";
import { type AccessEvent, AccessEvents } from "./access-events.ts";

const GONE: AccessEvent = { kind: "user-gone", userId: "u" };

/**
 * A store that runs the work of a transaction this many times before it commits, and whose outbox keeps the row that was written.
 */
function changesOn(runs: number, commits = true) {
  const kept: AccessOutboxRow[] = [];
  const published: [AccessEvent, string | undefined][] = [];
  const transaction = async (work: (tables: Tables) => Promise<unknown>): Promise<unknown> => {
    for (let run = 1; ; run++) {
      const written: AccessOutboxRow[] = [];
      const accessOutbox = { add: async (rows: readonly AccessOutboxRow[]) => void written.push(...rows) };
      const result = await work({ accessOutbox } as unknown as Tables);
      if (run < runs) continue;
      if (!commits) throw new Error("the connection was lost");
      expect(published).toEqual([]); // not before the commit
      kept.push(...written);
      return result;
    }
  };
  const events = new AccessEvents();
  events.subscribe((event, id) => published.push([event, id]));
  const errors: object[] = [];
  const log = { error: (facts: object) => void errors.push(facts) };
  const changes = new AccessChanges({ transaction } as unknown as Store, events, log as never);
  return { changes, events, kept, published, errors };
}

describe("a transaction that takes a right away", () => {
  it("keeps its event beside the change, and publishes it after the commit under the id of that row", async () => {
    const { changes, kept, published } = changesOn(1);
    const result = await changes.transaction(async (_tables, ends) => {
      ends(GONE);
      return 7;
    });
    expect(result).toBe(7);
    expect(kept.map(({ body }) => JSON.parse(body))).toEqual([GONE]);
    expect(published).toEqual([[GONE, kept[0]!.id]]);
  });

  it("has the events of its last run alone when the database runs it again", async () => {
    const { changes, kept, published } = changesOn(3);
    let runs = 0;
    await changes.transaction(async (_tables, ends) => ends({ kind: "user-gone", userId: `run ${++runs}` }));
    expect(kept.map(({ body }) => JSON.parse(body).userId)).toEqual(["run 3"]);
    expect(published).toEqual([[{ kind: "user-gone", userId: "run 3" }, kept[0]!.id]]);
  });

  it("returns what it made, and publishes its other events, also when a listener fails", async () => {
    const { changes, events, published, errors } = changesOn(1);
    const stop = events.subscribe(() => {
      throw new Error("the database left");
    });
    const other: AccessEvent = { kind: "user-gone", userId: "v" };
    const result = await changes.transaction(async (_tables, ends) => {
      for (const event of [GONE, other]) ends(event);
      return "token";
    });
    expect(result).toBe("token");
    expect(published.map(([event]) => event)).toEqual([GONE, other]);
    expect(errors).toEqual([expect.objectContaining({ event: "user-gone" }), expect.anything()]);
    stop();
  });

  it("publishes nothing when it does not commit", async () => {
    const { changes, published } = changesOn(1, false);
    await expect(changes.transaction(async (_tables, ends) => ends(GONE))).rejects.toThrow("lost");
    expect(published).toEqual([]);
  });
});
