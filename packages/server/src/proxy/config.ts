import type { ListenAddress } from "../base/listen-address.ts";
import { type Wildcard, wildcardLabel } from "../base/wildcard.ts";
import { FlagReader } from "../config/flag-reader.ts";
import type { ServerFlagValues } from "../config/flags.ts";
import { type ListeningConfig, listeningConfig } from "../config/listening.ts";
import { pathAppsAreOff } from "../config/path-apps.ts";
import { wildcardAccessUrl } from "../config/wildcard-access-url.ts";
import { PROXY_FLAGS } from "./flags.ts";
import { ProxyToken } from "./token.ts";

/** Checked settings of a workspace proxy. */
export interface ProxyConfig extends ListeningConfig {
  readonly primaryUrl: URL;
  readonly token: ProxyToken;
  readonly accessUrl: URL;
  /** Where the other processes of the same proxy reach this one's relay. */
  readonly relayUrl: URL | undefined;
  /** Undefined: no STUN server. */
  readonly stunServer: ListenAddress | undefined;
  /** Whether it has a relay. */
  readonly relay: boolean;
  /** Whether it serves only its relay. */
  readonly derpOnly: boolean;
  /** Host names of apps; undefined if no app has a host of its own. */
  readonly wildcard: Wildcard | undefined;
  /** Whether it serves apps below paths of its access URL. */
  readonly pathApps: boolean;
}

/** Applies defaults and validates everything. Throws ServerError ERR_CONFIG with one sentence that names the flag. */
export function parseProxyConfig(values: ServerFlagValues): ProxyConfig {
  const read = new FlagReader(PROXY_FLAGS, values);
  const primaryUrl = originOf(read, "primary-access-url");
  const accessUrl = originOf(read, "access-url");
  if (primaryUrl === undefined) throw read.missing("primary-access-url", "the proxy belongs to a deployment");
  if (accessUrl === undefined) throw read.missing("access-url", "clients have to reach the proxy");
  if (accessUrl.origin === primaryUrl.origin)
    throw read.invalid("access-url", "must not be that of the deployment: it leads to the proxy itself");
  const derpOnly = read.boolean("derp-only");
  const relay = read.boolean("derp-server-enable");
  if (derpOnly && !relay)
    throw read.invalid("derp-server-enable", "is off with --derp-only, so there is nothing to serve");
  const listening = listeningConfig(read);
  const wildcard = wildcardAccessUrl(read, read.text("wildcard-access-url"), listening.allowedHosts);
  if (derpOnly && wildcard !== undefined)
    throw read.invalid("wildcard-access-url", "is set with --derp-only, which serves no apps");
  if (wildcard !== undefined && wildcardLabel(wildcard, primaryUrl.hostname) !== undefined)
    throw read.invalid("wildcard-access-url", "must not cover the host of the deployment");
  if (derpOnly && read.isGiven("disable-path-apps") && !read.boolean("disable-path-apps"))
    throw read.invalid("disable-path-apps", "is off with --derp-only, which serves no apps");
  return {
    ...listening,
    wildcard,
    pathApps: !derpOnly && !pathAppsAreOff(read, wildcard !== undefined),
    primaryUrl,
    token: tokenOf(read),
    accessUrl,
    relayUrl: originOf(read, "derp-server-relay-url"),
    // STUN is announced together with the relay.
    stunServer: !relay || read.text("stun-address") === "disable" ? undefined : read.listenAddress("stun-address"),
    relay,
    derpOnly,
  };
}

function originOf(read: FlagReader, name: string): URL | undefined {
  const url = read.url(name);
  if (url !== undefined && (url.pathname !== "/" || url.search !== "" || url.hash !== ""))
    throw read.invalid(name, `must have no path, got "${url.href}"`);
  return url;
}

function tokenOf(read: FlagReader): ProxyToken {
  const text = read.text("proxy-session-token");
  const file = read.text("proxy-session-token-file");
  if (text !== "" && file !== "")
    throw read.invalid("proxy-session-token-file", "and --proxy-session-token exclude each other");
  if (text === "" && file === "")
    throw read.missing("proxy-session-token", '"coder wsproxy create" shows the token of a new proxy');
  const token = new ProxyToken(text === "" ? { file } : { text });
  const problem = token.problem();
  if (problem !== undefined)
    throw read.invalid(text === "" ? "proxy-session-token-file" : "proxy-session-token", problem);
  return token;
}
