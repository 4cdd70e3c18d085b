import { isIP, isIPv4, isIPv6 } from "node:net";
import { orAborted } from "../../async/abort.ts";
import { parseIp } from "../../base/ip.ts";
import { DEFAULT_STUN_PORT, type DerpMap, hasRelay, type Node, type RegionId } from "../../derp/map.ts";
import type { StunServer } from "../../netcheck/stun-run.ts";
import { optionalNames } from "../host/optional-names.ts";

const MAX_PORT = 65_535;

export interface StunNames {
  /** Addresses at which a host was reached lately; probed at once, while its name may still be looked up for others. */
  readonly knownAddresses: (host: string) => readonly string[];
  readonly resolve: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
}

const SYSTEM_NAMES: StunNames = {
  knownAddresses: () => [],
  resolve: (name, signal) => optionalNames.resolve(name, signal),
};

/**
 * Finds the addresses of a map's STUN servers and reports each as soon as it is known: literals and hosts that were reached
 * before at once, names when they are resolved, regions with a relay first. Resolves when all are known or given up, or at
 * `signal`, with the names that have no address yet; a machine without DNS loses only the names.
 */
export async function findStunServers(
  map: DerpMap,
  found: (server: StunServer) => void,
  signal: AbortSignal,
  names: StunNames = SYSTEM_NAMES,
): Promise<readonly string[]> {
  if (signal.aborted) return [];
  const unresolved = new Set<string>();
  const lookups: Promise<void>[] = [];
  for (const { regionId, node } of ownFirst(map)) {
    const report = (addresses: readonly string[]): void => {
      for (const text of addresses) {
        const address = parseIp(text);
        if (address === undefined || !isWanted(node, text) || signal.aborted) continue;
        const port = node.stunPort === 0 ? DEFAULT_STUN_PORT : node.stunPort;
        found({ regionId, node: node.name, address: { address, port } });
        unresolved.delete(node.hostName);
      }
    };
    const literals = literalsOf(node);
    if (literals.length > 0) {
      report(literals);
      continue;
    }
    unresolved.add(node.hostName);
    report(names.knownAddresses(node.hostName));
    lookups.push(names.resolve(node.hostName, signal).then(report));
  }
  await orAborted(Promise.all(lookups), signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  return [...unresolved];
}

/**
 * Nodes that have STUN: of regions with a relay first, which are the deployment's own; public servers add to the result later.
 */
function ownFirst(map: DerpMap): { readonly regionId: RegionId; readonly node: Node }[] {
  const regions = [...map.regions.values()];
  const own = regions.filter(hasRelay);
  const others = regions.filter((region) => !own.includes(region));
  return [...own, ...others].flatMap(({ regionId, nodes }) =>
    nodes.filter(({ stunPort }) => stunPort >= 0 && stunPort <= MAX_PORT).map((node) => ({ regionId, node })),
  );
}

/** Literal addresses of a node, which need no name server; empty if its name has to be resolved. */
function literalsOf(node: Node): string[] {
  if (isIP(node.stunTestIp) !== 0) return [node.stunTestIp];
  const literals = [isIPv4(node.ipv4) ? node.ipv4 : "", isIPv6(node.ipv6) ? node.ipv6 : ""].filter(
    (text) => text !== "",
  );
  if (literals.length > 0) return literals;
  return isIP(node.hostName) === 0 ? [] : [node.hostName];
}

function isWanted(node: Node, address: string): boolean {
  if (isIP(node.stunTestIp) !== 0 || isIP(node.hostName) !== 0) return true;
  const family = isIPv4(address) ? node.ipv4 : node.ipv6;
  return family === "" || isIP(family) !== 0;
}
