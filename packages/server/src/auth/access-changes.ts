import { randomUUID } from "node:crypto";
import type { Logger } from "../base/log.ts";
import type { Store, Tables } from "../db/store.ts";
import type { AccessEvent, AccessEvents } from "./access-events.ts";

/**
 * Transactions that take rights away. Their events are stored with the change and published after its commit; if this server ends
 * in between, another one publishes them.
 */
export class AccessChanges {
  readonly #store: Store;
  readonly #events: AccessEvents;

  readonly #log: Pick<Logger, "error">;

  constructor(store: Store, events: AccessEvents, log: Pick<Logger, "error">) {
    this.#store = store;
    this.#events = events;
    this.#log = log;
  }

  /** Like Store.transaction. `ends` records an event that ends access. */
  async transaction<Result>(
    work: (tables: Tables, ends: (event: AccessEvent) => void) => Promise<Result>,
  ): Promise<Result> {
    let ended: { readonly id: string; readonly event: AccessEvent }[] = [];
    const result = await this.#store.transaction(async (tables) => {
      ended = []; // PostgreSQL may run the work again
      const value = await work(tables, (event) => ended.push({ id: randomUUID(), event }));
      await tables.accessOutbox.add(ended.map(({ id, event }) => ({ id, body: JSON.stringify(event) })));
      return value;
    });
    for (const { id, event } of ended) this.#publish(event, id);
    return result;
  }

  /** Never throws: the change is committed, and the result, such as a new token, must reach the caller. */
  #publish(event: AccessEvent, id: string): void {
    try {
      this.#events.publish(event, id);
    } catch (error) {
      this.#log.error(
        { err: error, event: event.kind },
        "not everything that a change of access ended could be closed",
      );
    }
  }
}
