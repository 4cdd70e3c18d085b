import { Resolver } from "node:dns/promises";
import { formatIp, ipFromBytes, parseIp } from "wg-userspace/base/ip";

/** Has only IPv4 addresses, so an IPv6 address for it was made by the network (RFC 7050). */
const IPV4_ONLY_NAME = "ipv4only.arpa";
const PREFIX_BYTES = 12;
const LIMIT_MS = 1_000;

/** The part of {@link Resolver} that is used. */
export interface AddressResolver {
  resolve6(name: string): Promise<string[]>;
  cancel(): void;
}

/** The prefix that this network translates to IPv4, as text with /96; undefined where there is no NAT64. Never rejects. */
export async function nat64Prefix(
  resolver: AddressResolver = new Resolver({ timeout: LIMIT_MS, tries: 1 }),
): Promise<string | undefined> {
  const timer = setTimeout(() => resolver.cancel(), LIMIT_MS);
  try {
    const [first] = await resolver.resolve6(IPV4_ONLY_NAME);
    const address = first === undefined ? undefined : parseIp(first);
    if (address === undefined) return undefined;
    const prefix = new Uint8Array(16);
    prefix.set(address.subarray(0, PREFIX_BYTES));
    return `${formatIp(ipFromBytes(prefix))}/96`;
  } catch {
    return undefined; // no such record, which is the usual case, or no DNS
  } finally {
    clearTimeout(timer);
  }
}
