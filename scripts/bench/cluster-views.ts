/** Whether servers and peers agree after everything that a bench did to them. */
import type { ControlSite } from "./control-site.ts";

const ANSWER_WITHIN_MS = 60_000;

/** What a worker's pairs announced last: the answer of "announced" of control-peers.ts. */
export interface Announced {
  readonly agentId: string;
  readonly agentMark: number;
  readonly clientKey: string;
  readonly clientMark: number;
}

interface PeerPage {
  readonly id: string;
  readonly node?: { readonly as_of: string | null; readonly key: string };
}

interface CoordinatorPage {
  readonly agents: readonly PeerPage[];
  readonly clients: readonly PeerPage[];
  readonly tunnels: readonly { readonly from: string; readonly to: string }[];
}

/** For each server the peers that are connected to it, as GET /api/v2/debug/coordinator reports them. */
export function coordinatorPages({ servers }: ControlSite, token: string): Promise<CoordinatorPage[]> {
  return Promise.all(
    servers.map(async ({ url }) => {
      const answer = await fetch(`${url}/api/v2/debug/coordinator`, {
        headers: { "Coder-Session-Token": token, Accept: "application/json" },
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      });
      if (!answer.ok) throw new Error(`/debug/coordinator: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as CoordinatorPage;
    }),
  );
}

/** Agents whose client is connected to another server than they are. */
export function agentsAcross(pages: readonly CoordinatorPage[]): string[] {
  return pages.flatMap(({ agents }, at) => {
    const here = new Set(agents.map(({ id }) => id));
    return pages
      .flatMap(({ tunnels }, other) => (other === at ? [] : tunnels.map(({ to }) => to)))
      .filter((id) => here.has(id));
  });
}

/**
 * Throws unless each agent and client is connected to exactly one server, which has the node that it announced last, and each
 * client has the tunnel to its agent and no other.
 */
export function requireViews(pages: readonly CoordinatorPage[], pairs: readonly Announced[]): void {
  const agents = unique(
    pages.flatMap((page) => page.agents),
    ({ id }) => id,
  );
  const clients = unique(
    pages.flatMap((page) => page.clients),
    ({ node }) => node?.key ?? "no node",
  );
  const tunnels = unique(
    pages.flatMap((page) => page.tunnels),
    ({ from }) => from,
  );
  const counts = { agents: agents.size, clients: clients.size, tunnels: tunnels.size };
  for (const [what, count] of Object.entries(counts))
    if (count !== pairs.length) throw new Error(`the servers have ${count} ${what} of ${pairs.length}`);
  for (const { agentId, agentMark, clientKey, clientMark } of pairs) {
    const client = clients.get(`nodekey:${clientKey}`);
    const found = {
      agent: markOf(agents.get(agentId)),
      client: markOf(client),
      tunnel: client === undefined ? undefined : tunnels.get(client.id)?.to,
    };
    if (found.agent !== agentMark || found.client !== clientMark || found.tunnel !== agentId)
      throw new Error(
        `the servers have ${JSON.stringify(found)} of agent ${agentId}, which announced ${agentMark}, and its client ${clientMark}`,
      );
  }
}

function markOf(peer: PeerPage | undefined): number {
  return Date.parse(peer?.node?.as_of ?? "");
}

function unique<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item> {
  const byKey = new Map<string, Item>();
  for (const item of items) {
    const key = keyOf(item);
    if (byKey.has(key)) throw new Error(`${key} is there twice`);
    byKey.set(key, item);
  }
  return byKey;
}
