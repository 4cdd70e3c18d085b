import { isIpv4, parseIp } from "../base/ip.ts";
import { type Node, type Region, relayNodes } from "./map.ts";

/** Where and how to open the byte stream to a relay. */
export interface RelayTarget {
  /** Name or literal address to connect to. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Name in SNI and, unless certName is given, in the certificate. */
  readonly serverName: string;
  /** Name to expect in the certificate instead of serverName. */
  readonly certName?: string | undefined;
  /** Do not verify the certificate: tests only. */
  readonly insecure?: boolean | undefined;
  /** No operation waits for this connection, so resolving its name must not delay the names of others. */
  readonly optional?: boolean;
}

/** One address of one Node of a Region. */
export interface RelayCandidate {
  readonly node: Node;
  readonly target: RelayTarget;
  /** Value of the Host header. */
  readonly hostHeader: string;
  /** `host:port`, for messages. */
  readonly label: string;
}

/** The addresses to dial, in order: nodes as listed, and for each its literal addresses, or its name if it has none. */
export function relayCandidates(region: Region): RelayCandidate[] {
  return relayNodes(region).flatMap((node) => hostsOf(node).map((host) => candidate(node, host)));
}

function hostsOf(node: Node): string[] {
  const literals: string[] = [];
  if (familyOf(node.ipv4) === 4) literals.push(node.ipv4);
  if (familyOf(node.ipv6) === 6) literals.push(node.ipv6);
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
      certName: node.certName || undefined,
      insecure: node.insecureForTests || undefined,
    },
    hostHeader: port === standardPort ? name : `${name}:${port}`,
    label: `${name}:${port}`,
  };
}

function bracketed(host: string): string {
  return familyOf(host) === 6 ? `[${host}]` : host;
}

/** Undefined for anything but a literal address. */
function familyOf(text: string): 4 | 6 | undefined {
  const address = parseIp(text);
  if (address === undefined) return undefined;
  return isIpv4(address) ? 4 : 6;
}
