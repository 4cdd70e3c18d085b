/**
 * Lost peers that others still have in their tunnels, and that this server does not remember: it has restarted, or another one
 * had them and is gone. Their partners state them; from then on the end of their rights is reported as that of any lost peer.
 */
import { uuidFromBytes } from "coder-protocol/addresses";
import type { CoordinateRequest_LostPeer } from "coder-protocol/gen/tailnet_pb.js";
import { MAX_LOST_PEERS } from "coder-protocol/tailnet/node";
import { endsAccess } from "../auth/access-events.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import type { Store } from "../db/store.ts";
import type { ConnectionPolicies } from "../workspaces/connection-policies.ts";
import type { Coordinator } from "./coordinator.ts";
import { lookedUpClientAuth, ownClientAuth, type PeerAuth, proxyAuth } from "./peer-auth.ts";
import type { SealedRights, TunnelRight } from "./sealed-rights.ts";

const ACCESS_ENDED = "access ended";

export interface LostPeersOptions {
  readonly coordinator: Coordinator;
  readonly rights: SealedRights;
  readonly authenticator: Pick<Authenticator, "stillHolds">;
  readonly store: Pick<Store, "users" | "agents">;
  readonly connectionPolicies: Pick<ConnectionPolicies, "refusal">;
  readonly clock: WallClock;
}

type UserRight = TunnelRight & { readonly kind: "user" };
export type ProxyRight = TunnelRight & { readonly kind: "proxy" };

export class LostPeers {
  readonly #options: LostPeersOptions;
  #watchProxy: (right: ProxyRight, agentId: string) => Promise<boolean> = async () => false;

  constructor(options: LostPeersOptions) {
    this.#options = options;
  }

  /** @param watch From its call on, what ends the proxy's right to the agent ends its tunnels. Whether the right holds. */
  onProxy(watch: (right: ProxyRight, agentId: string) => Promise<boolean>): void {
    this.#watchProxy = watch;
  }

  /**
   * `partner` has these lost peers in its tunnel. It is informed of the end of each whose right does not hold, now or later.
   * Rejects when the database does not answer: the partner has to state them again.
   */
  async stated(partner: string, lost: readonly CoordinateRequest_LostPeer[]): Promise<void> {
    const { coordinator, rights, clock } = this.#options;
    for (const peer of lost.slice(0, MAX_LOST_PEERS)) {
      const id = uuidFromBytes(peer.id);
      if (id === undefined || coordinator.watchesOver(id, partner)) continue;
      const right = rights.open(id, peer.right);
      // It is looked up once the events of its end are heard.
      if (right !== undefined) coordinator.remember(id, authOf(right), partner, clock.now());
      if (right === undefined || !(await this.#holds(right, partner)))
        coordinator.endLost(id, partner, ACCESS_ENDED, clock.now());
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

/** As while the peer was connected: who answers for it, and what ends its right. */
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
