import type { IncomingMessage } from "node:http";
import type { Hosts } from "../auth/hosts.ts";
import { hostname } from "../auth/hosts.ts";

/** Which part of the server serves a host name. */
export type HostRoute =
  /** The server itself, or a foreign host, which the caller detects. */
  | "main"
  /** The server itself, at a path that belongs to an app. */
  | "app path"
  /** There is not exactly one host. */
  | "malformed"
  /** A program of a workspace, and nothing else. */
  | { readonly appHost: string };

/** Names of the server take precedence, because the server's own name may lie below the wildcard. */
export function hostRoute(
  request: IncomingMessage,
  hosts: Pick<Hosts, "isOurs">,
  apps: { isAppHost(hostname: string): boolean; isAppPath(target: string): boolean } | undefined,
): HostRoute {
  let count = 0;
  for (let i = 0; i < request.rawHeaders.length; i += 2) if (request.rawHeaders[i]!.toLowerCase() === "host") count++;
  if (count !== 1) return "malformed";
  if (apps === undefined) return "main";
  if (hosts.isOurs(request)) return apps.isAppPath(request.url ?? "/") ? "app path" : "main";
  const name = hostname(request.headers.host);
  return name !== undefined && apps.isAppHost(name) ? { appHost: name } : "main";
}
