/** What kind of network an address belongs to, as far as that affects its use as a path. */
import { type IpAddress, ip, ipEqual, isIpv4, parsePrefix, prefixContains } from "../base/ip.ts";

export type AddressClass = "loopback" | "link-local" | "private" | "public";

const PREFIXES: readonly [AddressClass, string][] = [
  ["loopback", "127.0.0.0/8"],
  ["loopback", "::1/128"],
  ["link-local", "169.254.0.0/16"],
  ["link-local", "fe80::/10"],
  ["private", "10.0.0.0/8"],
  ["private", "172.16.0.0/12"],
  ["private", "192.168.0.0/16"],
  ["private", "fc00::/7"],
];
const CLASSES = PREFIXES.map(([kind, text]) => ({ kind, prefix: parsePrefix(text)! }));
/** Addresses inside tunnels of Coder and Tailscale: a path there would run through the tunnel itself. */
const TUNNEL_PREFIXES = ["fd60:627a:a42b::/48", "fd7a:115c:a1e0::/48"].map((text) => parsePrefix(text)!);
/** Where clouds serve a machine its credentials: never an endpoint of a peer. */
const METADATA_ADDRESSES = ["169.254.169.254", "fd00:ec2::254"].map((text) => ip(text));
const UNSPECIFIED_V6 = ip("::");

export function addressClass(address: IpAddress): AddressClass {
  for (const { kind, prefix } of CLASSES) if (prefixContains(prefix, address)) return kind;
  return "public";
}

/** Whether an address that a peer names may be probed at all (security statement 23). */
export function mayProbe(address: IpAddress): boolean {
  if (METADATA_ADDRESSES.some((metadata) => ipEqual(metadata, address))) return false;
  if (isIpv4(address)) return address[0]! < 224 && address[0] !== 0;
  if (address[0] === 0xff || ipEqual(address, UNSPECIFIED_V6)) return false;
  if (addressClass(address) === "link-local") return false; // means nothing without the interface it belongs to
  return !TUNNEL_PREFIXES.some((prefix) => prefixContains(prefix, address));
}

/**
 * Whether a router between us and the address may take an early probe for local traffic. If so, an opening packet passes our own
 * router before any probe reaches the other one.
 */
export function needsOpening(address: IpAddress): boolean {
  return isIpv4(address) && addressClass(address) === "public";
}
