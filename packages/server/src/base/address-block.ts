/**
 * What counts as one source of requests: an IPv4 address, or the /64 of an IPv6 address, because a provider's customer can use
 * any address of such a block.
 */
export function addressBlock(address: string): string {
  return ipv4(address) ?? `${groupsOf(address).join(":")}::/64`;
}

/** Like addressBlock, but with the /56 of an IPv6 address: the largest block that one customer line usually has, 256 networks. */
export function siteBlock(address: string): string {
  const site = ipv4(address);
  if (site !== undefined) return site;
  const [first, second, third, fourth = "0"] = groupsOf(address);
  return `${first}:${second}:${third}:${(Number.parseInt(fourth, 16) & 0xff00).toString(16)}::/56`;
}

function ipv4(address: string): string | undefined {
  if (address.startsWith("::ffff:") && address.includes(".")) return address.slice("::ffff:".length);
  return address.includes(":") ? undefined : address;
}

/** The first four groups. */
function groupsOf(address: string): string[] {
  const [head = "", tail] = address.split("%")[0]!.split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const last = tail === "" ? [] : tail.split(":");
    while (groups.length + last.length < 8) groups.push("0");
    groups.push(...last);
  }
  return groups.slice(0, 4).map((group) => group.toLowerCase().replace(/^0+(?=.)/, ""));
}
