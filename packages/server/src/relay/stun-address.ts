import type { ListenAddress, ServerConfig } from "../config/parse.ts";
import { isLoopback } from "../http/listeners.ts";

/**
 * Where our STUN server listens: on all interfaces unless it was told otherwise, but not when this machine is the only one that
 * can reach the server at all. Behind a proxy on this machine the access URL tells that others do.
 */
export function stunListenAddress(
  config: Pick<ServerConfig, "http" | "tls" | "accessUrl">,
  wanted: ListenAddress,
): ListenAddress {
  if (wanted.host !== "") return wanted;
  const bound = [config.http?.host, config.tls?.address.host].filter((host) => host !== undefined);
  const isLocal = bound.every((host) => isLoopback(host));
  const accessHost = config.accessUrl?.hostname.replace(/^\[|\]$/g, "");
  return isLocal && (accessHost === undefined || isLoopback(accessHost)) ? { ...wanted, host: "127.0.0.1" } : wanted;
}
