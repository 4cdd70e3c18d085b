import { join } from "node:path";
import type { ShareLevel } from "coder-protocol/rest/apps";
import { DEFAULT_STUN_PORT } from "wg-userspace/derp/map";
import type { ListenAddress } from "../base/listen-address.ts";
import { isTrial, TRIAL_HOST } from "../base/own-addresses.ts";
import { parsePostgresUrl } from "../base/postgres-url.ts";
import { SHARE_LEVELS } from "../base/share-level.ts";
import type { Wildcard } from "../base/wildcard.ts";
import { parseDuration } from "./durations.ts";
import { FlagReader } from "./flag-reader.ts";
import { type ServerFlagValues, serverFlags } from "./flags.ts";
import { type ListeningConfig, listeningConfig } from "./listening.ts";
import { pathAppsAreOff } from "./path-apps.ts";
import { wildcardAccessUrl } from "./wildcard-access-url.ts";

const MAX_DRAIN_MS = 60_000;
/** Every client probes all of them. */
const MAX_STUN_ANNOUNCED = 16;

export interface DerpConfig {
  readonly serverEnabled: boolean;
  readonly regionId: number;
  readonly regionCode: string;
  readonly regionName: string;
  readonly relayUrl: URL | undefined;
  /** host:port of each STUN server that others run; empty if disabled. */
  readonly stunAddresses: readonly string[];
  /** Where our own STUN server listens; undefined if it is switched off, or if no region would announce it. */
  readonly stunServer: ListenAddress | undefined;
  /**
   * host or host:port of each STUN server of the deployment as clients reach it. If empty, the host of the access URL is
   * announced, if any.
   */
  readonly stunAnnounced: readonly string[];
  readonly forceWebsockets: boolean;
  readonly configUrl: URL | undefined;
  readonly configPath: string | undefined;
  readonly blockDirect: boolean;
}

/** A PostgreSQL database, which replaces the SQLite file. */
export interface PostgresConfig {
  /** A URL, or a file whose first line is one. */
  readonly source: { readonly url: string } | { readonly file: string };
  /** Maximum number of connections, and the number kept while idle. */
  readonly maxOpen: number;
  readonly maxIdle: number;
}

/** Checked settings. Durations in milliseconds. */
export interface ServerConfig extends ListeningConfig {
  /** The settings as given. */
  readonly given: ServerFlagValues;
  /** Undefined: derived from the address the server listens on. */
  readonly accessUrl: URL | undefined;
  /** Host names of workspace apps. */
  readonly wildcardAccessUrl: Wildcard | undefined;
  readonly redirectToAccessUrl: boolean;
  /** Whether the dashboard's pages are served. */
  readonly dashboard: boolean;
  readonly secureAuthCookie: boolean;
  readonly derp: DerpConfig;
  /** Whether only browsers may connect to workspaces; `default` can be lifted for a single workspace. */
  readonly browserOnly: "off" | "default" | "enforced";
  readonly browserOnlyFiles: boolean;
  readonly sessionDurationMs: number;
  readonly defaultTokenLifetimeMs: number;
  readonly maxTokenLifetimeMs: number;
  /** Settings for apps below a path of the deployment's own host. */
  readonly pathApps: { readonly disabled: boolean; readonly sharing: boolean; readonly siteOwnerAccess: boolean };
  /** The widest level at which apps may be shared. */
  readonly maxShareLevel: ShareLevel;
  /** Undefined: shares may last until they are removed. */
  readonly maxShareDurationMs: number | undefined;
  /** 0: no uploads. */
  readonly maxUploadBytes: number;
  readonly sshHostnamePrefix: string;
  readonly workspaceHostnameSuffix: string;
  readonly sshConfigOptions: Readonly<Record<string, string>>;
  readonly healthCheckRefreshMs: number;
  /** Threshold for the duration of a small query. */
  readonly databaseThresholdMs: number;
  /** How often a workspace proxy is checked. */
  readonly proxyHealthIntervalMs: number;
  readonly stateDir: string;
  /** Undefined: SQLite in the state directory. */
  readonly postgres: PostgresConfig | undefined;
  /** Undefined: keys.json in the state directory. */
  readonly keysFile: string | undefined;
  /** How long new connections are accepted while the server is stopping. */
  readonly shutdownDrainMs: number;
  /** Folder of executables for other machines, in addition to those that came with this one. */
  readonly binariesDir: string | undefined;
}

/** The environment that defaults depend on; passed in so that parsing is deterministic. */
export interface ConfigSurroundings {
  readonly homeDir: string;
  /** The value of XDG_STATE_HOME, if set. */
  readonly stateHome?: string | undefined;
}

/** Applies defaults and validates everything. Throws ServerError ERR_CONFIG with one sentence that names the flag. */
export function parseServerConfig(values: ServerFlagValues, surroundings: ConfigSurroundings): ServerConfig {
  const read = new FlagReader(serverFlags, values);
  const defaultTokenLifetimeMs = read.duration("default-token-lifetime");
  const maxTokenLifetimeMs = read.duration("max-token-lifetime");
  if (defaultTokenLifetimeMs > maxTokenLifetimeMs) {
    throw read.invalid("default-token-lifetime", "must not be longer than --max-token-lifetime");
  }
  const listening = listeningConfig(read);
  const { http, tls, allowedHosts } = listening;
  const accessUrl = read.url("access-url");
  // An empty setting switches web apps off.
  const trial = values["wildcard-access-url"] === undefined && isTrial({ accessUrl, http, tls });
  const wildcard = trial ? `*.${TRIAL_HOST}` : read.text("wildcard-access-url");
  return {
    ...listening,
    given: values,
    accessUrl,
    wildcardAccessUrl: wildcardAccessUrl(read, wildcard, allowedHosts),
    redirectToAccessUrl: read.boolean("redirect-to-access-url"),
    dashboard: read.boolean("dashboard"),
    secureAuthCookie: read.boolean("secure-auth-cookie"),
    derp: derpConfig(read),
    browserOnly: browserOnly(read),
    browserOnlyFiles: read.boolean("browser-only-files"),
    sessionDurationMs: read.duration("session-duration"),
    defaultTokenLifetimeMs,
    maxTokenLifetimeMs,
    pathApps: {
      disabled: pathAppsAreOff(read, wildcard !== ""),
      sharing: read.boolean("dangerous-allow-path-app-sharing"),
      siteOwnerAccess: read.boolean("dangerous-allow-path-app-site-owner-access"),
    },
    maxShareLevel: read.choice("max-share-level", SHARE_LEVELS),
    maxUploadBytes: read.size("max-upload-size"),
    maxShareDurationMs: read.text("max-share-duration") === "" ? undefined : read.duration("max-share-duration"),
    sshHostnamePrefix: hostPart(read, "ssh-hostname-prefix"),
    workspaceHostnameSuffix: hostPart(read, "workspace-hostname-suffix"),
    sshConfigOptions: sshOptions(read),
    healthCheckRefreshMs: read.duration("health-check-refresh"),
    databaseThresholdMs: read.duration("health-check-threshold-database"),
    proxyHealthIntervalMs: read.duration("proxy-health-interval"),
    stateDir: stateDirectory(read, surroundings),
    postgres: postgresConfig(read),
    keysFile: read.text("keys-file") || undefined,
    shutdownDrainMs: shutdownDrain(read),
    binariesDir: read.text("binaries-dir") || undefined,
  };
}

function browserOnly(read: FlagReader): ServerConfig["browserOnly"] {
  const value = read.choice("browser-only", ["false", "true", "enforced", "default", "0", "1", "no", "yes"]);
  if (value === "default") return "default";
  return value === "false" || value === "0" || value === "no" ? "off" : "enforced";
}

function derpConfig(read: FlagReader): DerpConfig {
  const configUrl = read.url("derp-config-url");
  const path = read.text("derp-config-path");
  if (configUrl !== undefined && path !== "") {
    throw read.invalid("derp-config-path", "and --derp-config-url exclude each other");
  }
  const stun = read.list("derp-server-stun-addresses");
  const stunAddresses = stun.includes("disable") ? [] : stun;
  for (const address of stunAddresses) {
    if (!/^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/.test(address)) {
      throw read.invalid("derp-server-stun-addresses", `must hold host:port or be "disable", got "${address}"`);
    }
  }
  const stunServer = read.text("stun-address") === "disable" ? undefined : read.listenAddress("stun-address");
  const blockDirect = read.boolean("block-direct-connections");
  const serverEnabled = read.boolean("derp-server-enable");
  if (!serverEnabled && configUrl === undefined && path === "") {
    throw read.invalid(
      "derp-server-enable",
      "is off and there is no --derp-config-url or --derp-config-path, so there is no relay",
    );
  }
  const stunAnnounced = announcedStun(read);
  if (stunAnnounced.length > 0 && (blockDirect || !serverEnabled))
    throw read.invalid(
      "stun-announce",
      blockDirect
        ? "and --block-direct-connections exclude each other"
        : "needs the embedded relay, which --derp-server-enable switches off",
    );
  return {
    serverEnabled,
    regionId: read.integer("derp-server-region-id", 1, 65_535),
    regionCode: read.text("derp-server-region-code"),
    regionName: read.text("derp-server-region-name"),
    relayUrl: read.url("derp-server-relay-url"),
    stunAddresses,
    stunServer: serverEnabled && !blockDirect ? stunServer : undefined,
    stunAnnounced,
    forceWebsockets: read.boolean("derp-force-websockets"),
    configUrl,
    configPath: path === "" ? undefined : path,
    blockDirect,
  };
}

function announcedStun(read: FlagReader): readonly string[] {
  const addresses = read.list("stun-announce");
  for (const address of addresses) {
    const found = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(?::(\d{1,5}))?$/.exec(address);
    const port = Number(found?.[1] ?? DEFAULT_STUN_PORT);
    if (found === null || port < 1 || port > 65_535)
      throw read.invalid("stun-announce", `must hold host or host:port, got "${address}"`);
  }
  if (addresses.length > MAX_STUN_ANNOUNCED)
    throw read.invalid("stun-announce", `must hold at most ${MAX_STUN_ANNOUNCED} addresses`);
  return addresses;
}

function postgresConfig(read: FlagReader): PostgresConfig | undefined {
  const url = read.text("postgres-url");
  const file = read.text("postgres-url-file");
  if (url !== "" && file !== "") throw read.invalid("postgres-url-file", "and --postgres-url exclude each other");
  if (read.choice("postgres-auth", ["password", "awsiamrds"]) === "awsiamrds") {
    throw read.invalid("postgres-auth", "cannot be awsiamrds yet: this release logs in with a password only");
  }
  const maxOpen = read.integer("postgres-conn-max-open", 2, 200);
  const idle = read.text("postgres-conn-max-idle");
  const maxIdle = idle === "auto" ? Math.floor(maxOpen / 3) : Number(idle);
  if (!/^(auto|\d+)$/.test(idle) || maxIdle > maxOpen) {
    throw read.invalid("postgres-conn-max-idle", "must be auto or a number up to --postgres-conn-max-open");
  }
  if (url === "" && file === "") return undefined;
  if (url !== "") {
    const parsed = parsePostgresUrl(url);
    if ("error" in parsed) throw read.invalid("postgres-url", parsed.error);
  }
  return { source: url === "" ? { file } : { url }, maxOpen, maxIdle };
}

function shutdownDrain(read: FlagReader): number {
  const text = read.text("shutdown-drain");
  const ms = parseDuration(text);
  if (ms === undefined || ms > MAX_DRAIN_MS)
    throw read.invalid("shutdown-drain", `must be a duration from 0 to 60s, got "${text}"`);
  return ms;
}

function stateDirectory(read: FlagReader, surroundings: ConfigSurroundings): string {
  const chosen = read.text("state-dir") || read.text("cache-dir");
  if (chosen !== "") return chosen;
  return join(surroundings.stateHome ?? join(surroundings.homeDir, ".local", "state"), "coder-server");
}

/** Part of an ssh host pattern. Anything that could add a line, an option or a pattern to an ssh configuration is refused. */
function hostPart(read: FlagReader, name: string): string {
  const value = read.text(name);
  if (!/^[a-zA-Z0-9_.-]*$/.test(value)) {
    throw read.invalid(name, `must consist of letters, digits, dots, hyphens and underscores, got "${value}"`);
  }
  return value;
}

function sshOptions(read: FlagReader): Record<string, string> {
  const options: Record<string, string> = {};
  for (const entry of read.list("ssh-config-options")) {
    const match = /^([a-zA-Z][a-zA-Z0-9]*)[= ](.*)$/.exec(entry);
    if (match === null || /[\r\n\0]/.test(entry)) {
      throw read.invalid("ssh-config-options", `must hold Key=Value entries, got ${JSON.stringify(entry)}`);
    }
    options[match[1] ?? ""] = (match[2] ?? "").trim();
  }
  return options;
}
