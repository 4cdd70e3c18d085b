import { isLoopback, type ListenAddress } from "../base/listen-address.ts";
import type { AddressSettings } from "../base/own-addresses.ts";

/**
 * Where the STUN server listens: the configured address; otherwise all interfaces, or loopback if only this machine can reach the
 * server. Behind a proxy on this machine, the access URL shows that other machines reach it.
 */
export function stunListenAddress(
  config: Pick<AddressSettings, "http" | "tls" | "accessUrl">,
  wanted: ListenAddress,
): ListenAddress {
  if (wanted.host !== "") return wanted;
  const bound = [config.http?.host, config.tls?.address.host].filter((host) => host !== undefined);
  const isLocal = bound.every((host) => isLoopback(host));
  const accessHost = config.accessUrl?.hostname.replace(/^\[|\]$/g, "");
  return isLocal && (accessHost === undefined || isLoopback(accessHost)) ? { ...wanted, host: "127.0.0.1" } : wanted;
}
