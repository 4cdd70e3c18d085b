import { lookup } from "node:dns/promises";
import { isIP, isIPv4, isIPv6 } from "node:net";
import { parseIp } from "../base/ip.ts";
import { DEFAULT_STUN_PORT, type DerpMap, type Node } from "../derp/map.ts";
import type { StunServer } from "../netcheck/stun-run.ts";

const MAX_PORT = 65_535;
/** Addresses of one name that are asked. */
const MAX_PER_NAME = 2;

/**
 * Finds the addresses of a map's STUN servers and reports each as soon as it is known: literals at once, names when DNS
 * answers. Resolves when all are known or given up, or at `signal`; a machine without DNS loses nothing but the names.
 */
export async function findStunServers(
  map: DerpMap,
  found: (server: StunServer) => void,
  signal: AbortSignal,
): Promise<void> {
  const { promise: aborted, resolve: abort } = Promise.withResolvers<void>();
  if (signal.aborted) return;
  signal.addEventListener("abort", () => abort(), { once: true });
  const lookups = [...map.regions.values()].flatMap((region) =>
    region.nodes.map(async (node) => {
      for (const address of await addressesOf(node)) {
        const parsed = parseIp(address);
        if (parsed === undefined || signal.aborted) continue;
        const port = node.stunPort === 0 ? DEFAULT_STUN_PORT : node.stunPort;
        found({ regionId: region.regionId, node: node.name, address: { address: parsed, port } });
      }
    }),
  );
  await Promise.race([Promise.all(lookups), aborted]);
}

/** Empty when the node has no STUN or its name means nothing here. */
async function addressesOf(node: Node): Promise<string[]> {
  if (node.stunPort < 0 || node.stunPort > MAX_PORT) return [];
  if (isIP(node.stunTestIp) !== 0) return [node.stunTestIp];
  // A family is a literal, switched off by anything else that is not empty, or asked of DNS.
  const literals = [isIPv4(node.ipv4) ? node.ipv4 : "", isIPv6(node.ipv6) ? node.ipv6 : ""].filter(
    (text) => text !== "",
  );
  if (literals.length > 0) return literals;
  if (isIP(node.hostName) !== 0) return [node.hostName];
  const families = [node.ipv4 === "" ? 4 : 0, node.ipv6 === "" ? 6 : 0].filter((family) => family !== 0);
  const answers = await Promise.all(families.map((family) => resolveName(node.hostName, family as 4 | 6)));
  return answers.flat();
}

async function resolveName(name: string, family: 4 | 6): Promise<string[]> {
  try {
    // The system's resolver first: it knows /etc/hosts and what the organisation set up.
    const addresses = await lookup(name, { family, all: true });
    return addresses.slice(0, MAX_PER_NAME).map(({ address }) => address);
  } catch {
    // Not resolvable in this family: there is simply no such server.
    return [];
  }
}
