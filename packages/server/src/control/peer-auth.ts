/** What a peer of the coordinator may do, by what it is. Refusals are texts; undefined means yes. */
import { isAgentAddress } from "coder-protocol/addresses";
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { parsePrefix } from "wg-userspace/base/ip";
import { type AccessEvent, becomesBrowserOnly } from "../auth/access-events.ts";

export interface PeerAuth {
  readonly kind: "client" | "agent";
  /** The user or the agent behind it, who answers for what its peers leave behind. */
  readonly holder: string;
  /** A web page that is a peer itself. */
  readonly isBrowser?: boolean | undefined;
  /** Of the client, where it announced one; valid. */
  readonly sessionId?: string | undefined;
  /** What its tunnels rest on, sealed; its partners are given it with its node. */
  readonly right?: Uint8Array | undefined;
  /** Whether this takes away what the peer's tunnels rest on. */
  endedBy(event: AccessEvent): boolean;
  checkNode(node: NodeInfo): string | undefined;
  /** Finds out what checkTunnel has to say about `to`; awaited before every request for a tunnel. */
  beforeTunnel?(to: string): Promise<void>;
  checkTunnel(to: string): string | undefined;
  /** What only browsers may connect to, as the last beforeTunnel found out: refused without an end of the stream. */
  isForBrowsers?(to: string): boolean;
  /** Whether the event takes away the right to a tunnel to `to`, and to no other. */
  losesTunnel?(event: AccessEvent, to: string): boolean;
  checkReady(): string | undefined;
}

const HOST_BITS = 128;

/** Whose a client is, and what ends its rights. */
export type ClientRights = Pick<PeerAuth, "holder" | "endedBy" | "sessionId" | "isBrowser" | "right">;

/** A user's client: tunnels only to agents it may reach; any addresses, as long as they are single ones. */
export function clientAuth(mayReach: (agentId: string) => boolean, rights: ClientRights): PeerAuth {
  return {
    kind: "client",
    ...rights,
    checkNode: (node) => nodeRefusal(node),
    checkTunnel: (to) => (mayReach(to) ? undefined : `agent ${to} is not yours to reach`),
    checkReady: () => "clients do not announce readiness",
  };
}

/** The server's own client: one agent, whose user decides nothing here. */
export function ownClientAuth(agentId: string, right?: Uint8Array): PeerAuth {
  return clientAuth((to) => to === agentId, {
    holder: "server",
    endedBy: (event) => event.kind === "workspace-deleted" && event.agentIds.includes(agentId),
    right,
  });
}

/** A workspace proxy's client: tunnels to the agents of which the proxy serves something. */
export function proxyAuth(proxyId: string, mayReach: (agentId: string) => boolean, right?: Uint8Array): PeerAuth {
  return clientAuth(mayReach, {
    holder: proxyHolder(proxyId),
    endedBy: (event) => event.kind === "proxy-revoked" && event.proxyId === proxyId,
    right,
  });
}

/** Who answers for the peers of a workspace proxy. */
export function proxyHolder(proxyId: string): string {
  return `proxy ${proxyId}`;
}

export type Reach = "allowed" | "denied" | "browsers-only";

/**
 * As clientAuth, for a right that is looked up whenever the client asks for a tunnel.
 * @param userId Absent for a client that stays when connections are left to browsers.
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

/** An agent: no tunnels of its own, and only the addresses that follow from its id, also as allowed IPs. */
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

/** Why a client, or the agent of this id, may not have the node; undefined: it may. */
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
