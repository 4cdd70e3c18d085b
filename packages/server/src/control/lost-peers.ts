/**
 * Lost peers with which others still have a tunnel, and which this server does not remember, because it was restarted or because
 * they belonged to another server that is gone. Their partners state them; from then on the end of their rights is reported like
 * that of any lost peer.
 */

import { uuidFromBytes } from "coder-protocol/addresses";
import type { CoordinateRequest_LostPeer } from "coder-protocol/gen/tailnet_pb.js";
import { MAX_LOST_PEERS } from "coder-protocol/tailnet/node";
import { onAbort } from "wg-userspace/async/abort";
import { endsAccess } from "../auth/access-events.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Store } from "../db/store.ts";
import type { ConnectionPolicies } from "../workspaces/connection-policies.ts";
import type { Coordinator } from "./coordinator.ts";
import { onceDatabaseAnswers } from "./once-database-answers.ts";
import { lookedUpClientAuth, ownClientAuth, type PeerAuth, proxyAuth } from "./peer-auth.ts";
import type { SealedRights, TunnelRight } from "./sealed-rights.ts";

const ACCESS_ENDED = "access ended";
/** For all partners together. */
const MAX_LOOKUPS = 8;
/** Lost peers of one stream that are being looked up or waiting for it. */
export const MAX_WAITING_PEERS = 1024;

export interface LostPeersOptions {
  readonly coordinator: Coordinator;
  readonly rights: SealedRights;
  readonly authenticator: Pick<Authenticator, "stillHolds">;
  readonly store: Pick<Store, "users" | "agents">;
  readonly connectionPolicies: Pick<ConnectionPolicies, "refusal">;
  readonly clock: WallClock;
  readonly log: Pick<Logger, "error">;
}

type UserRight = TunnelRight & { readonly kind: "user" };
export type ProxyRight = TunnelRight & { readonly kind: "proxy" };

/** One right, and the peers for which it was stated. */
interface Stated {
  readonly right: TunnelRight;
  readonly ids: Set<string>;
}

/** What a partner states over one stream; both maps are by right. */
interface Stream {
  readonly partner: string;
  readonly over: AbortSignal;
  readonly waiting: Map<string, Stated>;
  readonly running: Map<string, Stated>;
  /** Number of peers in both maps. */
  peers: number;
}

export class LostPeers {
  readonly #options: LostPeersOptions;
  /** Streams with waiting peers; the first is next. */
  readonly #ready = new Set<Stream>();
  #lookups = 0;
  #watchProxy: (right: ProxyRight, agentId: string) => Promise<boolean> = async () => false;

  constructor(options: LostPeersOptions) {
    this.#options = options;
  }

  /**
   * @param watch Resolves with whether the right is valid. From the call on, the proxy's tunnels to the agent end with the right.
   */
  onProxy(watch: (right: ProxyRight, agentId: string) => Promise<boolean>): void {
    this.#watchProxy = watch;
  }

  /**
   * Takes the lost peers that `partner` states, over one stream, to have a tunnel with. It is informed of the end of each whose
   * right is invalid, now or later; while the database does not answer, nothing is decided.
   * @param over Aborted when the stream ends. What is undecided by then is dropped; the partner states it again over its next
   * stream.
   */
  statements(partner: string, over: AbortSignal): (lost: readonly CoordinateRequest_LostPeer[]) => void {
    const stream: Stream = { partner, over, waiting: new Map(), running: new Map(), peers: 0 };
    onAbort(over, () => this.#ready.delete(stream));
    return (lost) => {
      if (!over.aborted) this.#stated(stream, lost);
    };
  }

  #stated(stream: Stream, lost: readonly CoordinateRequest_LostPeer[]): void {
    const { coordinator, rights, clock } = this.#options;
    const { partner } = stream;
    for (const peer of lost.slice(0, MAX_LOST_PEERS)) {
      const id = uuidFromBytes(peer.id);
      if (id === undefined || coordinator.informsOfEnd(id, partner)) continue;
      const right = rights.open(id, peer.right);
      if (right === undefined) coordinator.endLost(id, partner, ACCESS_ENDED, clock.now());
      else if (!addTo(stream, id, right)) coordinator.endLost(id, partner, "too many lost peers", clock.now());
    }
    if (stream.waiting.size > 0) this.#ready.add(stream);
    this.#lookUp();
  }

  /** Serves the streams in turn. */
  #lookUp(): void {
    while (this.#lookups < MAX_LOOKUPS) {
      const [stream] = this.#ready;
      if (stream === undefined) return;
      this.#ready.delete(stream);
      const [next] = stream.waiting;
      if (next === undefined) continue;
      const [key, stated] = next;
      stream.waiting.delete(key);
      stream.running.set(key, stated);
      if (stream.waiting.size > 0) this.#ready.add(stream);
      this.#lookups++;
      void this.#decide(stream, key, stated).finally(() => {
        this.#lookups--;
        this.#lookUp();
      });
    }
  }

  async #decide(stream: Stream, key: string, { right, ids }: Stated): Promise<void> {
    const { coordinator, clock, log } = this.#options;
    const { partner, over } = stream;
    const auth = authOf(right);
    // Taken before the lookup, which may miss an event that ends the right meanwhile.
    const watch = coordinator.watchRight(auth, partner);
    try {
      const holds = await onceDatabaseAnswers(() => this.#holds(right, partner), over);
      if (over.aborted) return;
      for (const id of ids) {
        if (coordinator.informsOfEnd(id, partner)) continue; // the peer has returned meanwhile
        if (holds && !watch.isOver) coordinator.remember(id, auth, partner, clock.now());
        else coordinator.endLost(id, partner, ACCESS_ENDED, clock.now());
      }
    } catch (error) {
      if (!over.aborted) log.error({ err: error, partner }, "the right of a lost peer could not be looked up");
    } finally {
      watch.stop();
      // Removed at once, so that a peer stated from here on is looked up again.
      stream.running.delete(key);
      stream.peers -= ids.size;
    }
  }

  async #holds(right: TunnelRight, agentId: string): Promise<boolean> {
    switch (right.kind) {
      case "user":
        return await this.#userHolds(right, agentId);
      case "server":
        return right.agentId === agentId && (await this.#options.store.agents.byId(agentId)) !== undefined;
      case "proxy":
        return await this.#watchProxy(right, agentId);
    }
  }

  async #userHolds(right: UserRight, agentId: string): Promise<boolean> {
    const { authenticator, store, connectionPolicies } = this.#options;
    if (right.agentId !== undefined && right.agentId !== agentId) return false;
    const { userId, keyId } = right;
    if (!(await authenticator.stillHolds({ userId, keyId, agentId }))) return false;
    if (right.forPages) return true;
    const user = await store.users.byId(userId);
    return user !== undefined && (await connectionPolicies.refusal(user, agentId)) === undefined;
  }
}

/**
 * Adds a peer, also while its right is being looked up: the outcome applies to every peer for which the right was stated. Returns
 * false if there are too many.
 */
function addTo(stream: Stream, id: string, right: TunnelRight): boolean {
  const key = JSON.stringify(right);
  const stated = stream.running.get(key) ?? stream.waiting.get(key) ?? { right, ids: new Set() };
  if (stated.ids.has(id)) return true;
  if (stream.peers >= MAX_WAITING_PEERS) return false;
  if (!stream.running.has(key)) stream.waiting.set(key, stated);
  stated.ids.add(id);
  stream.peers++;
  return true;
}

/** The same as while the peer was connected: its holder, and what ends its right. */
function authOf(right: TunnelRight): PeerAuth {
  switch (right.kind) {
    case "user": {
      const { userId, keyId, agentId, forPages } = right;
      const holder = { userId, keyId, agentId };
      return lookedUpClientAuth(async () => "denied", {
        holder: `user ${userId}`,
        userId: forPages ? undefined : userId,
        endedBy: (event) => endsAccess(event, holder),
      });
    }
    case "server":
      return ownClientAuth(right.agentId);
    case "proxy":
      return proxyAuth(right.proxyId, () => false);
  }
}
