/** What a peer of the coordinator may do, by its kind. A refusal is a text; undefined means allowed. */
import { isAgentAddress } from "coder-protocol/addresses";
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { parsePrefix } from "wg-userspace/base/ip";
import { type AccessEvent, becomesBrowserOnly } from "../auth/access-events.ts";

export interface PeerAuth {
  readonly kind: "client" | "agent";
  /** The user or agent to which the peer belongs, and to which what it leaves behind is counted. */
  readonly holder: string;
  /** A web page that is a peer of its own. */
  readonly isBrowser?: boolean | undefined;
  /** The session id that a client announced, after validation. */
  readonly sessionId?: string | undefined;
  /** The right that its tunnels depend on, sealed; partners receive it with the peer's node. */
  readonly right?: Uint8Array | undefined;
  /** Whether this event ends the right that the peer's tunnels depend on. */
  endedBy(event: AccessEvent): boolean;
  checkNode(node: NodeInfo): string | undefined;
  /** Looks up what checkTunnel needs for `to`; awaited before every request for a tunnel. */
  beforeTunnel?(to: string): Promise<void>;
  checkTunnel(to: string): string | undefined;
  /** Called after a request for a tunnel to `to` was handled. */
  afterTunnel?(to: string): void;
  /**
   * Whether only browsers may connect to `to`, as beforeTunnel last found; such a tunnel is refused and the stream stays open.
   */
  isForBrowsers?(to: string): boolean;
  /** Whether the event ends the right to a tunnel to `to`, and to no other. */
  losesTunnel?(event: AccessEvent, to: string): boolean;
  checkReady(): string | undefined;
}

const HOST_BITS = 128;

/** The holder of a client, and what ends its rights. */
export type ClientRights = Pick<PeerAuth, "holder" | "endedBy" | "sessionId" | "isBrowser" | "right">;

/** A user's client: tunnels only to agents that the user may reach; any addresses, provided they are single ones. */
export function clientAuth(mayReach: (agentId: string) => boolean, rights: ClientRights): PeerAuth {
  return {
    kind: "client",
    ...rights,
    checkNode: (node) => nodeRefusal(node),
    checkTunnel: (to) => (mayReach(to) ? undefined : `agent ${to} is not yours to reach`),
    checkReady: () => "clients do not announce readiness",
  };
}

/** The server's own client for one agent; it does not depend on a user's rights. */
export function ownClientAuth(agentId: string, right?: Uint8Array): PeerAuth {
  return clientAuth((to) => to === agentId, {
    holder: "server",
    endedBy: (event) => event.kind === "workspace-deleted" && event.agentIds.includes(agentId),
    right,
  });
}

/** A workspace proxy's client: tunnels only to agents of which the proxy serves something. */
export function proxyAuth(proxyId: string, mayReach: (agentId: string) => boolean, right?: Uint8Array): PeerAuth {
  return clientAuth(mayReach, {
    holder: proxyHolder(proxyId),
    endedBy: (event) => event.kind === "proxy-revoked" && event.proxyId === proxyId,
    right,
  });
}

/** The holder of a workspace proxy's peers. */
export function proxyHolder(proxyId: string): string {
  return `proxy ${proxyId}`;
}

export type Reach = "allowed" | "denied" | "browsers-only";

/**
 * Like clientAuth, for a right that is looked up whenever the client requests a tunnel.
 * @param userId Absent for a client that stays when only browsers may connect.
 */
export function lookedUpClientAuth(
  reach: (agentId: string) => Promise<Reach>,
  rights: ClientRights & { readonly userId?: string | undefined },
): PeerAuth {
  const { userId, ...others } = rights;
  let reachable: string | undefined;
  let forBrowsers: string | undefined;
  return {
    ...clientAuth((to) => to === reachable, others),
    beforeTunnel: async (to) => {
      reachable = forBrowsers = undefined;
      const found = await reach(to);
      if (found === "allowed") reachable = to;
      if (found === "browsers-only") forBrowsers = to;
    },
    isForBrowsers: (to) => to === forBrowsers,
    losesTunnel: (event, to) => userId !== undefined && becomesBrowserOnly(event, { userId, agentId: to }),
  };
}

/** An agent: no tunnels of its own, and only addresses derived from its id, also as allowed IPs. */
export function agentAuth(agentId: string, endedBy: PeerAuth["endedBy"]): PeerAuth {
  return {
    kind: "agent",
    holder: `agent ${agentId}`,
    endedBy,
    checkNode: (node) => nodeRefusal(node, agentId),
    checkTunnel: () => "agents open no tunnels",
    checkReady: () => undefined,
  };
}

/** The reason why a client, or the agent with this id, may not have the node; undefined if it may. */
export function nodeRefusal(node: NodeInfo, agentId?: string): string | undefined {
  const refusal = notSingle(node.addresses) ?? notSingle(node.allowedIps);
  if (refusal !== undefined || agentId === undefined) return refusal;
  return foreign(node.addresses, agentId) ?? foreign(node.allowedIps, agentId);
}

function notSingle(prefixes: readonly string[]): string | undefined {
  const wrong = prefixes.find((prefix) => parsePrefix(prefix)?.bits !== HOST_BITS);
  return wrong === undefined ? undefined : `"${wrong}" is not a single IPv6 address`;
}

function foreign(prefixes: readonly string[], agentId: string): string | undefined {
  const wrong = prefixes.find((prefix) => {
    const address = parsePrefix(prefix)?.address;
    return address === undefined || !isAgentAddress(address, agentId);
  });
  return wrong === undefined ? undefined : `"${wrong}" does not belong to agent ${agentId}`;
}
