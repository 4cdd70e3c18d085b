/** What this tab follows, and what is known about it. */
import { ApiError } from "../../api/client.ts";
import { type Data, type FromTab, patched, type Subscription, type ToTab } from "./messages.ts";

export interface Follower {
  data(data: Data): void;
  error(error: ApiError): void;
}

interface Followed {
  readonly subscription: Subscription;
  readonly followers: Set<Follower>;
  data: Data | undefined;
  error: ApiError | undefined;
}

export class Followers {
  readonly #post: (message: FromTab) => void;
  readonly #followed = new Map<string, Followed>();

  constructor(post: (message: FromTab) => void) {
    this.#post = post;
  }

  /**
   * The same subscription has the same key in every tab, so that the holder requests it from the server only once. Returns the
   * function that ends it.
   */
  follow(subscription: Subscription, follower: Follower): () => void {
    const key = `${subscription.topic} ${JSON.stringify(subscription.args)}`;
    const known = this.#followed.get(key);
    const entry = known ?? { subscription, followers: new Set(), data: undefined, error: undefined };
    // A separate object for this call, because one follower may follow twice.
    const own: Follower = { data: (data) => follower.data(data), error: (error) => follower.error(error) };
    entry.followers.add(own);
    if (known === undefined || known.error?.isTemporary === true) {
      this.#followed.set(key, entry);
      entry.error = undefined;
      this.#post({ type: "join", key, ...subscription });
    } else queueMicrotask(() => deliver(entry, own));
    return () => {
      if (!entry.followers.delete(own) || entry.followers.size > 0) return;
      this.#followed.delete(key);
      this.#post({ type: "leave", key });
    };
  }

  /** Joins again after the port was replaced. */
  joinAll(): void {
    for (const [key, { subscription }] of this.#followed) this.#post({ type: "join", key, ...subscription });
  }

  received(message: Extract<ToTab, { key: string }>): void {
    const entry = this.#followed.get(message.key);
    if (entry === undefined) return;
    if (message.type === "error") {
      entry.data = undefined;
      entry.error = new ApiError(message.status, { message: message.message });
    } else {
      entry.data = message.type === "snapshot" ? message.data : patched(entry.data ?? {}, message.set, message.del);
      entry.error = undefined;
    }
    for (const follower of [...entry.followers]) deliver(entry, follower);
  }
}

/** Delivers what is known, unless the follower has left. */
function deliver({ followers, data, error }: Followed, follower: Follower): void {
  if (!followers.has(follower)) return;
  if (error !== undefined) follower.error(error);
  else if (data !== undefined) follower.data(data);
}
