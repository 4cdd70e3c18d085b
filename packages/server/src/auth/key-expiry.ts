import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Store } from "../db/store.ts";
import type { AccessEvents } from "./access-events.ts";

/** What rests on a key that ran out is over within this time and that of one look. */
const LOOK_EVERY_MS = 2_000;
/** Keys per look; the rest is seen in the next one. More than one user may have, all of which may end at one moment. */
const MAX_KEYS_PER_LOOK = 10_000;
/** Another process may end keys, too, and its commit come after our look at that moment. */
const LATE_COMMIT_MS = 10_000;

/** Makes an event of a key's end by time or by another process, so that sockets and tunnels end with it as they do when somebody revokes it. */
export class KeyExpiry {
  readonly #options: { store: Store; events: AccessEvents; clock: WallClock; log: Logger };
  readonly #timer: NodeJS.Timeout;
  #lookedAt: number;
  #looking: Promise<void> | undefined;

  constructor(options: { store: Store; events: AccessEvents; clock: WallClock; log: Logger }) {
    this.#options = options;
    this.#lookedAt = options.clock.now();
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look()
        .catch((error: unknown) => options.log.error({ err: error }, "looking for expired keys failed"))
        .finally(() => {
          this.#looking = undefined;
        });
    }, LOOK_EVERY_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { store, events, clock } = this.#options;
    const now = clock.now();
    const expired = await store.apiKeys.expiredBetween(this.#lookedAt, now, MAX_KEYS_PER_LOOK);
    this.#lookedAt = expired.length < MAX_KEYS_PER_LOOK ? now - LATE_COMMIT_MS : expired.at(-1)!.expires_at - 1;
    for (const { id, user_id } of expired) events.publish({ kind: "key-revoked", keyId: id, userId: user_id });
  }
}
