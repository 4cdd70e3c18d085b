import { type IpAddress, isIpv4, parsePrefix, prefixContains } from "../base/ip.ts";

/**
 * IPv4 addresses unreachable from outside: RFC 1918, RFC 6598 (carrier-grade NAT), and addresses that are not hosts.
 */
const UNREACHABLE = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/3",
].map((text) => parsePrefix(text)!);

/** Whether a mapping on this outside address of a router is usable. IPv4 only. */
export function isPublicIpv4(address: IpAddress): boolean {
  return isIpv4(address) && !UNREACHABLE.some((prefix) => prefixContains(prefix, address));
}
