import { type IpAddress, ip, isIpv4, prefixContains } from "wg-userspace/base/ip";

const NOT_PUBLIC = [
  "10.0.0.0/8",
  "127.0.0.0/8",
  "100.64.0.0/10",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.168.0.0/16",
].map((text) => {
  const [address = "", bits] = text.split("/");
  return { address: ip(address), bits: Number(bits) };
});

/** Whether the address is globally routable: neither private, nor link-local, nor loopback. */
export function isPublicAddress(address: IpAddress): boolean {
  if (isIpv4(address)) return !NOT_PUBLIC.some((prefix) => prefixContains(prefix, address));
  return (address[0]! & 0xe0) === 0x20; // 2000::/3, global unicast
}
