import type { DashboardTopic } from "coder-protocol/rest/dashboard";
import { type AccessEvent, type AccessEvents, type AccessHolder, endsAccess } from "../../auth/access-events.ts";
import { failureOf } from "../failure.ts";
import { message, patchBodies, snapshotBodies } from "./entries.ts";
import type { Feed, FeedReader } from "./feed.ts";

export const MAX_SUBSCRIPTIONS = 64;

/** Carries the messages. `hasRoom` is false while the browser is behind. */
export interface StreamSink {
  send(text: string): void;
  hasRoom(): boolean;
}

/** A topic that the user may see. */
export interface OpenedTopic {
  /** Called once, when the subscriber joins. */
  readonly feed: () => Feed;
  /** The workspace or agent of the topic: when it ends, so does the subscription. */
  readonly concerns: Pick<AccessHolder, "workspaceId" | "agentId">;
  /** Called when the subscription ends. */
  readonly close?: () => void;
}

export type TopicArguments = Readonly<Record<string, string | number>>;

/** Rejects with DomainError if the user has no right to it. */
export type OpenTopic = (topic: DashboardTopic, args: TopicArguments) => Promise<OpenedTopic>;

interface Subscription {
  topic?: OpenedTopic;
  feed?: Feed;
  reader?: FeedReader;
  /**
   * Keys that changed since the browser fell behind, or "everything" if it needs a snapshot; undefined while it is up to date.
   */
  missed?: Set<string> | "everything";
  ended: boolean;
}

const GONE = "It does not exist any more";
/** Beyond this number of keys, none is kept and the browser gets a snapshot. */
const MAX_MISSED = 4_096;

export interface SubscriptionsOptions {
  readonly sink: StreamSink;
  readonly open: OpenTopic;
  readonly holder: AccessHolder;
  readonly events: Pick<AccessEvents, "moment" | "since">;
}

/**
 * The subscriptions of one socket. A browser that reads slowly gets, once it has caught up, the current state of what changed
 * meanwhile: only keys are kept for it, never messages.
 */
export class Subscriptions {
  readonly #sink: StreamSink;
  readonly #open: OpenTopic;
  readonly #holder: AccessHolder;
  readonly #events: Pick<AccessEvents, "moment" | "since">;
  readonly #subscriptions = new Map<number, Subscription>();

  constructor(options: SubscriptionsOptions) {
    this.#sink = options.sink;
    this.#open = options.open;
    this.#holder = options.holder;
    this.#events = options.events;
  }

  get size(): number {
    return this.#subscriptions.size;
  }

  async add(id: number, topic: DashboardTopic, args: TopicArguments): Promise<void> {
    if (this.#subscriptions.has(id)) return this.#refuse(id, 400, "This id is in use");
    if (this.#subscriptions.size >= MAX_SUBSCRIPTIONS)
      return this.#refuse(id, 429, `A stream has at most ${MAX_SUBSCRIPTIONS} subscriptions`);
    const subscription: Subscription = { ended: false };
    this.#subscriptions.set(id, subscription);
    const moment = this.#events.moment;
    try {
      const opened = await this.#open(topic, args);
      if (subscription.ended) return opened.close?.();
      subscription.topic = opened;
      // What came while the right was being decided found no topic to end.
      const missed = this.#events.since(moment);
      if (missed === undefined || missed.some((event) => this.#ends(event, opened))) {
        this.remove(id);
        return this.#refuse(id, 404, GONE);
      }
      await this.#follow(id, subscription, opened.feed());
    } catch (error) {
      const failure = failureOf(error);
      if (!subscription.ended) this.remove(id);
      if (failure === undefined) throw error;
      this.#refuse(id, failure.status, failure.message);
    }
  }

  remove(id: number): void {
    const subscription = this.#subscriptions.get(id);
    if (subscription === undefined) return;
    this.#subscriptions.delete(id);
    end(subscription);
  }

  close(): void {
    for (const id of [...this.#subscriptions.keys()]) this.remove(id);
  }

  /** Ends the subscriptions that depend on what the event takes away. */
  accessChanged(event: AccessEvent): void {
    for (const [id, { topic }] of [...this.#subscriptions]) {
      if (topic === undefined || !this.#ends(event, topic)) continue;
      this.remove(id);
      this.#refuse(id, 404, GONE);
    }
  }

  #ends(event: AccessEvent, { concerns }: OpenedTopic): boolean {
    return endsAccess(event, { ...this.#holder, ...concerns });
  }

  /** The browser has read everything that was sent. */
  drained(): void {
    for (const [id, subscription] of this.#subscriptions) {
      const { missed, feed } = subscription;
      if (missed === undefined || feed === undefined) continue;
      if (!this.#sink.hasRoom()) return;
      delete subscription.missed;
      const { rev, entries } = feed;
      this.#send(id, missed === "everything" ? snapshotBodies(rev, entries) : patchBodies(rev, entries, missed));
    }
  }

  async #follow(id: number, subscription: Subscription, feed: Feed): Promise<void> {
    let ready = false;
    const reader: FeedReader = {
      changed: (keys, bodies) => {
        // Before the snapshot, which will contain the changes.
        if (!ready) return;
        const { missed } = subscription;
        if (missed === undefined && this.#sink.hasRoom()) return this.#send(id, bodies);
        if (missed === "everything") return;
        const remembered = missed ?? new Set();
        for (const key of keys) remembered.add(key);
        subscription.missed = remembered.size > MAX_MISSED ? "everything" : remembered;
      },
      ended: (why) => {
        if (subscription.ended) return;
        this.remove(id);
        if (why === "gone") this.#refuse(id, 404, GONE);
        else this.#refuse(id, 500, "The server failed to read this");
      },
    };
    subscription.feed = feed;
    subscription.reader = reader;
    await feed.join(reader);
    if (subscription.ended) return;
    ready = true;
    if (this.#sink.hasRoom()) this.#send(id, snapshotBodies(feed.rev, feed.entries));
    else subscription.missed = "everything";
  }

  #send(id: number, bodies: readonly string[]): void {
    for (const body of bodies) this.#sink.send(message(id, body));
  }

  #refuse(id: number, status: number, text: string): void {
    this.#sink.send(JSON.stringify({ id, type: "error", status, message: text }));
  }
}

function end(subscription: Subscription): void {
  subscription.ended = true;
  if (subscription.reader !== undefined) subscription.feed?.leave(subscription.reader);
  subscription.topic?.close?.();
}
