import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Store } from "../db/store.ts";
import type { AccessEvents } from "./access-events.ts";

/** Sockets and tunnels of an expired key end within this time plus that of one scan. */
const LOOK_EVERY_MS = 2_000;
/**
 * Keys per scan; the next scan continues with the rest. More than one user may have, since all of a user's keys may end at once.
 */
const MAX_KEYS_PER_LOOK = 10_000;
/** Another process may end a key and commit only after our scan has passed that moment. */
const LATE_COMMIT_MS = 10_000;

/**
 * Publishes an event when a key expires or another process ends it, so that sockets and tunnels end just as they do when it is
 * revoked.
 */
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
