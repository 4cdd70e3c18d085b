import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import { plainAddress } from "../auth/hosts.ts";
import { addRange, type ListeningConfig } from "../config/listening.ts";

/** Finds a client's address. Headers are used only from trusted proxies, since any client could send them. */
export function clientAddressReader(
  config: Pick<ListeningConfig, "proxyTrustedHeaders" | "proxyTrustedOrigins">,
): (request: IncomingMessage) => string {
  const trusted = new BlockList();
  for (const range of config.proxyTrustedOrigins) addRange(trusted, range);
  const isTrusted = (address: string): boolean => {
    const family = isIP(address);
    return family !== 0 && trusted.check(address, family === 6 ? "ipv6" : "ipv4");
  };
  return (request) => {
    const peer = plainAddress(request.socket.remoteAddress ?? "");
    if (!isTrusted(peer)) return peer;
    for (const name of config.proxyTrustedHeaders) {
      const value = request.headers[name];
      const text = Array.isArray(value) ? value.join(",") : value;
      // Each proxy appends an address, so the client is the first address from the right that is not a trusted proxy.
      const hops = (text ?? "").split(",").map((hop) => plainAddress(hop.trim()));
      const client = hops.findLast((hop) => isIP(hop) !== 0 && !isTrusted(hop));
      if (client !== undefined) return client;
    }
    return peer;
  };
}
