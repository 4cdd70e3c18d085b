import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Store } from "../db/store.ts";
import type { AccessEvents } from "./access-events.ts";

/** Sockets and tunnels of an expired key end within this time plus that of one scan. */
const SCAN_EVERY_MS = 2_000;
/**
 * Keys per scan; the next scan continues with the rest. More than one user may have, since all of a user's keys may end at once.
 */
const MAX_KEYS_PER_SCAN = 10_000;
/** Another process may end a key and commit only after our scan has passed that moment. */
const LATE_COMMIT_MS = 10_000;

/**
 * Publishes an event when a key expires or another process ends it, so that sockets and tunnels end just as they do when it is
 * revoked.
 */
export class KeyExpiry {
  readonly #options: { store: Store; events: AccessEvents; clock: WallClock; log: Logger };
  readonly #timer: NodeJS.Timeout;
  #scannedToMs: number;
  #scanning: Promise<void> | undefined;

  constructor(options: { store: Store; events: AccessEvents; clock: WallClock; log: Logger }) {
    this.#options = options;
    this.#scannedToMs = options.clock.now();
    this.#timer = setInterval(() => {
      this.#scanning ??= this.#scan()
        .catch((error: unknown) => options.log.error({ err: error }, "looking for expired keys failed"))
        .finally(() => {
          this.#scanning = undefined;
        });
    }, SCAN_EVERY_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#scanning;
  }

  async #scan(): Promise<void> {
    const { store, events, clock } = this.#options;
    const now = clock.now();
    const expired = await store.apiKeys.expiredBetween(this.#scannedToMs, now, MAX_KEYS_PER_SCAN);
    this.#scannedToMs = expired.length < MAX_KEYS_PER_SCAN ? now - LATE_COMMIT_MS : expired.at(-1)!.expires_at - 1;
    for (const { id, user_id } of expired) events.publish({ kind: "key-revoked", keyId: id, userId: user_id });
  }
}
