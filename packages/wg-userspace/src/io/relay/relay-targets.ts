import { isIPv4, isIPv6 } from "node:net";
import type { Node, Region } from "../../derp/map.ts";
import type { RelayTarget } from "./relay-dialer.ts";

/** One address of one Node of a Region. */
export interface RelayCandidate {
  readonly node: Node;
  readonly target: RelayTarget;
  /** Value of the Host header. */
  readonly hostHeader: string;
  /** For messages: `host:port`. */
  readonly label: string;
}

/** Where to try, in order: nodes as listed, of each its literal addresses or else its name. */
export function relayCandidates(region: Region): RelayCandidate[] {
  return region.nodes
    .filter((node) => !node.stunOnly)
    .flatMap((node) => hostsOf(node).map((host) => candidate(node, host)));
}

function hostsOf(node: Node): string[] {
  const literals: string[] = [];
  if (isIPv4(node.ipv4)) literals.push(node.ipv4);
  if (isIPv6(node.ipv6)) literals.push(node.ipv6);
  return literals.length > 0 ? literals : [node.hostName];
}

function candidate(node: Node, host: string): RelayCandidate {
  const standardPort = node.forceHttp ? 80 : 443;
  const port = node.derpPort === 0 ? standardPort : node.derpPort;
  const name = bracketed(node.hostName === "" ? host : node.hostName);
  return {
    node,
    target: {
      host,
      port,
      tls: !node.forceHttp,
      serverName: node.hostName === "" ? host : node.hostName,
      ...(node.certName === "" ? {} : { certName: node.certName }),
      ...(node.insecureForTests ? { insecure: true } : {}),
    },
    hostHeader: port === standardPort ? name : `${name}:${port}`,
    label: `${name}:${port}`,
  };
}

function bracketed(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}
