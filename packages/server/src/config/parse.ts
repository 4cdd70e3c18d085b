import { BlockList, isIP } from "node:net";
import { join } from "node:path";
import type { ShareLevel } from "coder-protocol/rest/apps";
import { ServerError } from "../base/errors.ts";
import { matchesHost } from "../base/host-pattern.ts";
import type { ListenAddress } from "../base/listen-address.ts";
import type { ServerLogLevel } from "../base/log.ts";
import { isTrial, TRIAL_HOST } from "../base/own-addresses.ts";
import { parsePostgresUrl } from "../base/postgres-url.ts";
import { SHARE_LEVELS } from "../base/share-level.ts";
import { parseWildcard, type Wildcard } from "../base/wildcard.ts";
import { parseDuration } from "./durations.ts";
import { type ServerFlag, type ServerFlagType, type ServerFlagValues, serverFlags } from "./flags.ts";
import { parseSize } from "./sizes.ts";

const MAX_DRAIN_MS = 60_000;

export interface TlsConfig {
  readonly address: ListenAddress;
  /** Same length as keyFiles, at least one. */
  readonly certFiles: readonly string[];
  readonly keyFiles: readonly string[];
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
}

export interface DerpConfig {
  readonly serverEnabled: boolean;
  readonly regionId: number;
  readonly regionCode: string;
  readonly regionName: string;
  readonly relayUrl: URL | undefined;
  /** host:port each, of others; empty when disabled. */
  readonly stunAddresses: readonly string[];
  /** Where our own STUN server listens; undefined when it is switched off, or would be announced by no region. */
  readonly stunServer: ListenAddress | undefined;
  readonly forceWebsockets: boolean;
  readonly configUrl: URL | undefined;
  readonly configPath: string | undefined;
  readonly blockDirect: boolean;
}

/** A database of PostgreSQL, in the place of the SQLite file. */
export interface PostgresConfig {
  /** A URL, or a file whose first line is one. */
  readonly source: { readonly url: string } | { readonly file: string };
  /** Connections at most, and those kept while idle. */
  readonly maxOpen: number;
  readonly maxIdle: number;
}

/** Checked settings. Durations in milliseconds. */
export interface ServerConfig {
  /** The settings as they were given. */
  readonly given: ServerFlagValues;
  /** Undefined: derived from the address the server listens on. */
  readonly accessUrl: URL | undefined;
  /** Host names of workspace apps. */
  readonly wildcardAccessUrl: Wildcard | undefined;
  readonly allowedHosts: readonly string[];
  readonly redirectToAccessUrl: boolean;
  readonly http: ListenAddress | undefined;
  readonly tls: TlsConfig | undefined;
  /** Whether the pages are served. */
  readonly dashboard: boolean;
  readonly hstsMaxAgeSeconds: number;
  readonly secureAuthCookie: boolean;
  readonly proxyTrustedHeaders: readonly string[];
  readonly proxyTrustedOrigins: readonly string[];
  readonly derp: DerpConfig;
  /** Whether connections to workspaces are left to browsers; `default` may be lifted for a workspace. */
  readonly browserOnly: "off" | "default" | "enforced";
  readonly browserOnlyFiles: boolean;
  readonly sessionDurationMs: number;
  readonly defaultTokenLifetimeMs: number;
  readonly maxTokenLifetimeMs: number;
  /** Apps below a path of the deployment's own host. */
  readonly pathApps: { readonly disabled: boolean; readonly sharing: boolean; readonly siteOwnerAccess: boolean };
  /** The widest level that apps are shared at. */
  readonly maxShareLevel: ShareLevel;
  /** Undefined: shares may last until they are removed. */
  readonly maxShareDurationMs: number | undefined;
  /** 0: none. */
  readonly maxUploadBytes: number;
  readonly sshHostnamePrefix: string;
  readonly workspaceHostnameSuffix: string;
  readonly sshConfigOptions: Readonly<Record<string, string>>;
  readonly prometheus: ListenAddress | undefined;
  readonly healthCheckRefreshMs: number;
  readonly logFormat: "human" | "json";
  readonly logLevel: ServerLogLevel;
  readonly stateDir: string;
  /** Undefined: SQLite in the state directory. */
  readonly postgres: PostgresConfig | undefined;
  /** Undefined: keys.json in the state directory. */
  readonly keysFile: string | undefined;
  /** How long new connections are still taken while the server stops. */
  readonly shutdownDrainMs: number;
  /** Executables for other machines, besides those that came with this one. */
  readonly binariesDir: string | undefined;
}

/** What the defaults depend on; passed in so that parsing stays repeatable. */
export interface ConfigSurroundings {
  readonly homeDir: string;
  /** XDG_STATE_HOME where it is set. */
  readonly stateHome?: string;
}

/** Applies defaults and checks everything. Throws ServerError ERR_CONFIG with one sentence that names the flag. */
export function parseServerConfig(values: ServerFlagValues, surroundings: ConfigSurroundings): ServerConfig {
  for (const name of Object.keys(values)) {
    if (!serverFlags.some((flag) => flag.name === name)) throw invalid(name, "is not a setting of the server");
  }
  const read = new FlagReader(values);
  const defaultTokenLifetimeMs = read.duration("default-token-lifetime");
  const maxTokenLifetimeMs = read.duration("max-token-lifetime");
  if (defaultTokenLifetimeMs > maxTokenLifetimeMs) {
    throw invalid("default-token-lifetime", "must not be longer than --max-token-lifetime");
  }
  const http = read.text("http-address") === "" ? undefined : read.listenAddress("http-address");
  const tls = read.boolean("tls-enable") ? tlsConfig(read) : undefined;
  if (http === undefined && tls === undefined) {
    throw invalid("http-address", "is empty and --tls-enable is off, so there is nothing to listen on");
  }
  const allowedHosts = read.list("allowed-hosts").map((host) => allowedHost(host));
  const accessUrl = read.url("access-url");
  // An empty setting switches web apps off.
  const trial = values["wildcard-access-url"] === undefined && isTrial({ accessUrl, http, tls });
  const wildcard = trial ? `*.${TRIAL_HOST}` : read.text("wildcard-access-url");
  return {
    given: values,
    accessUrl,
    wildcardAccessUrl: wildcardAccessUrl(wildcard, allowedHosts),
    allowedHosts,
    redirectToAccessUrl: read.boolean("redirect-to-access-url"),
    http,
    tls,
    dashboard: read.boolean("dashboard"),
    hstsMaxAgeSeconds: read.integer("strict-transport-security", 0, 4 * 31_536_000),
    secureAuthCookie: read.boolean("secure-auth-cookie"),
    proxyTrustedHeaders: read.list("proxy-trusted-headers").map((name) => headerName(name)),
    proxyTrustedOrigins: read.list("proxy-trusted-origins").map((range) => addressRange(range)),
    derp: derpConfig(read),
    browserOnly: browserOnly(read),
    browserOnlyFiles: read.boolean("browser-only-files"),
    sessionDurationMs: read.duration("session-duration"),
    defaultTokenLifetimeMs,
    maxTokenLifetimeMs,
    pathApps: {
      disabled: read.isGiven("disable-path-apps") ? read.boolean("disable-path-apps") : wildcard !== "",
      sharing: read.boolean("dangerous-allow-path-app-sharing"),
      siteOwnerAccess: read.boolean("dangerous-allow-path-app-site-owner-access"),
    },
    maxShareLevel: read.choice("max-share-level", SHARE_LEVELS),
    maxUploadBytes: read.size("max-upload-size"),
    maxShareDurationMs: read.text("max-share-duration") === "" ? undefined : read.duration("max-share-duration"),
    sshHostnamePrefix: hostPart(read, "ssh-hostname-prefix"),
    workspaceHostnameSuffix: hostPart(read, "workspace-hostname-suffix"),
    sshConfigOptions: sshOptions(read.list("ssh-config-options")),
    prometheus: read.boolean("prometheus-enable") ? read.listenAddress("prometheus-address") : undefined,
    healthCheckRefreshMs: read.duration("health-check-refresh"),
    logFormat: read.choice("log-format", ["human", "json"]),
    logLevel: read.boolean("verbose") ? "debug" : read.choice("log-level", ["trace", "debug", "info", "warn", "error"]),
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

function tlsConfig(read: FlagReader): TlsConfig {
  const certFiles = read.list("tls-cert-file");
  const keyFiles = read.list("tls-key-file");
  if (certFiles.length === 0) throw invalid("tls-cert-file", "is needed with --tls-enable");
  if (certFiles.length !== keyFiles.length) {
    throw invalid(
      "tls-key-file",
      `must name one key for each certificate: ${certFiles.length} certificates, ${keyFiles.length} keys`,
    );
  }
  const minVersion = read.choice("tls-min-version", ["tls12", "tls13"]);
  return {
    address: read.listenAddress("tls-address"),
    certFiles,
    keyFiles,
    minVersion: minVersion === "tls13" ? "TLSv1.3" : "TLSv1.2",
  };
}

function derpConfig(read: FlagReader): DerpConfig {
  const configUrl = read.url("derp-config-url");
  const path = read.text("derp-config-path");
  if (configUrl !== undefined && path !== "") {
    throw invalid("derp-config-path", "and --derp-config-url exclude each other");
  }
  const stun = read.list("derp-server-stun-addresses");
  const stunAddresses = stun.includes("disable") ? [] : stun;
  for (const address of stunAddresses) {
    if (!/^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/.test(address)) {
      throw invalid("derp-server-stun-addresses", `must hold host:port or be "disable", got "${address}"`);
    }
  }
  const stunServer = read.text("stun-address") === "disable" ? undefined : read.listenAddress("stun-address");
  const blockDirect = read.boolean("block-direct-connections");
  const serverEnabled = read.boolean("derp-server-enable");
  if (!serverEnabled && configUrl === undefined && path === "") {
    throw invalid(
      "derp-server-enable",
      "is off and there is no --derp-config-url or --derp-config-path, so there is no relay",
    );
  }
  return {
    serverEnabled,
    regionId: read.integer("derp-server-region-id", 1, 65_535),
    regionCode: read.text("derp-server-region-code"),
    regionName: read.text("derp-server-region-name"),
    relayUrl: read.url("derp-server-relay-url"),
    stunAddresses,
    stunServer: serverEnabled && !blockDirect ? stunServer : undefined,
    forceWebsockets: read.boolean("derp-force-websockets"),
    configUrl,
    configPath: path === "" ? undefined : path,
    blockDirect,
  };
}

function postgresConfig(read: FlagReader): PostgresConfig | undefined {
  const url = read.text("postgres-url");
  const file = read.text("postgres-url-file");
  if (url !== "" && file !== "") throw invalid("postgres-url-file", "and --postgres-url exclude each other");
  if (read.choice("postgres-auth", ["password", "awsiamrds"]) === "awsiamrds") {
    throw invalid("postgres-auth", "cannot be awsiamrds yet: this release logs in with a password only");
  }
  const maxOpen = read.integer("postgres-conn-max-open", 2, 200);
  const idle = read.text("postgres-conn-max-idle");
  const maxIdle = idle === "auto" ? Math.floor(maxOpen / 3) : Number(idle);
  if (!/^(auto|\d+)$/.test(idle) || maxIdle > maxOpen) {
    throw invalid("postgres-conn-max-idle", "must be auto or a number up to --postgres-conn-max-open");
  }
  if (url === "" && file === "") return undefined;
  if (url !== "") {
    const parsed = parsePostgresUrl(url);
    if ("error" in parsed) throw invalid("postgres-url", parsed.error);
  }
  return { source: url === "" ? { file } : { url }, maxOpen, maxIdle };
}

function shutdownDrain(read: FlagReader): number {
  const text = read.text("shutdown-drain");
  const ms = parseDuration(text);
  if (ms === undefined || ms > MAX_DRAIN_MS)
    throw invalid("shutdown-drain", `must be a duration from 0 to 60s, got "${text}"`);
  return ms;
}

function stateDirectory(read: FlagReader, surroundings: ConfigSurroundings): string {
  const chosen = read.text("state-dir") || read.text("cache-dir");
  if (chosen !== "") return chosen;
  return join(surroundings.stateHome ?? join(surroundings.homeDir, ".local", "state"), "coder-server");
}

/** Names that lead to the server itself must not cover those of apps: an app would share the server's origin. */
function wildcardAccessUrl(text: string, allowedHosts: readonly string[]): Wildcard | undefined {
  if (text === "") return undefined;
  const parsed = parseWildcard(text);
  if ("error" in parsed) throw invalid("wildcard-access-url", parsed.error);
  const covering = allowedHosts.find((pattern) => matchesHost(pattern, `app${parsed.suffix}`));
  if (covering !== undefined) {
    throw invalid("allowed-hosts", `must not cover the hosts of --wildcard-access-url, but "${covering}" does`);
  }
  return parsed;
}

function allowedHost(host: string): string {
  if (host !== "*" && !/^(\*\.)?[a-zA-Z0-9_.:[\]-]+$/.test(host)) {
    throw invalid("allowed-hosts", `must hold host names, addresses or *.domain, got "${host}"`);
  }
  return host.toLowerCase();
}

function headerName(name: string): string {
  if (!/^[a-zA-Z0-9-]+$/.test(name)) throw invalid("proxy-trusted-headers", `must hold header names, got "${name}"`);
  return name.toLowerCase();
}

function addressRange(range: string): string {
  try {
    addRange(new BlockList(), range);
  } catch {
    throw invalid("proxy-trusted-origins", `must hold addresses or CIDR ranges, got "${range}"`);
  }
  return range;
}

/** Adds "10.0.0.0/8" or "10.1.2.3" to a list. Throws on anything else. */
export function addRange(list: BlockList, range: string): void {
  const slash = range.indexOf("/");
  const address = slash < 0 ? range : range.slice(0, slash);
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  if (isIP(address) === 0) throw new RangeError("not an address");
  if (slash < 0) list.addAddress(address, family);
  else list.addSubnet(address, Number(range.slice(slash + 1)), family);
}

/** Part of an ssh host pattern: what could add a line, an option or a pattern to an ssh configuration is refused. */
function hostPart(read: FlagReader, name: string): string {
  const value = read.text(name);
  if (!/^[a-zA-Z0-9_.-]*$/.test(value)) {
    throw invalid(name, `must consist of letters, digits, dots, hyphens and underscores, got "${value}"`);
  }
  return value;
}

function sshOptions(list: readonly string[]): Record<string, string> {
  const options: Record<string, string> = {};
  for (const entry of list) {
    const match = /^([a-zA-Z][a-zA-Z0-9]*)[= ](.*)$/.exec(entry);
    if (match === null || /[\r\n\0]/.test(entry)) {
      throw invalid("ssh-config-options", `must hold Key=Value entries, got ${JSON.stringify(entry)}`);
    }
    options[match[1] ?? ""] = (match[2] ?? "").trim();
  }
  return options;
}

function invalid(name: string, problem: string): ServerError {
  const flag = serverFlags.find((candidate) => candidate.name === name);
  return new ServerError("ERR_CONFIG", `--${name} ${problem}`, {
    nextSteps: flag === undefined ? [] : [`change --${name} or ${flag.env}`],
  });
}

/** Reads one typed value each, falling back to the table's default. */
class FlagReader {
  readonly #values: ServerFlagValues;
  constructor(values: ServerFlagValues) {
    this.#values = values;
  }

  text(name: string): string {
    const value = this.#raw(name, "string", "strings", "duration", "integer");
    if (typeof value !== "string") throw invalid(name, `must be a text, got ${JSON.stringify(value)}`);
    return value.trim();
  }

  boolean(name: string): boolean {
    const value = this.#raw(name, "boolean");
    if (typeof value === "boolean") return value;
    const text = String(value).toLowerCase();
    if (text === "true" || text === "1" || text === "yes") return true;
    if (text === "false" || text === "0" || text === "no") return false;
    throw invalid(name, `must be true or false, got "${String(value)}"`);
  }

  /** Whether a value was chosen; where the default depends on other settings. */
  isGiven(name: string): boolean {
    return this.#values[name] !== undefined;
  }

  integer(name: string, min: number, max: number): number {
    const value = this.#raw(name, "integer");
    const number = typeof value === "number" ? value : /^\d+$/.test(String(value)) ? Number(value) : Number.NaN;
    if (!Number.isInteger(number) || number < min || number > max) {
      throw invalid(name, `must be a whole number from ${min} to ${max}, got "${String(value)}"`);
    }
    return number;
  }

  /** Positive. */
  duration(name: string): number {
    const value = this.#raw(name, "duration");
    const ms = typeof value === "string" ? parseDuration(value) : undefined;
    if (ms === undefined || ms <= 0)
      throw invalid(name, `must be a duration such as 24h or 30m, got "${String(value)}"`);
    return ms;
  }

  /** In bytes. */
  size(name: string): number {
    const text = this.text(name);
    const bytes = parseSize(text);
    if (bytes === undefined) throw invalid(name, `must be a size such as 500MB, 1GiB or 0, got "${text}"`);
    return bytes;
  }

  /** Entries separated by commas, or a list; empty entries are dropped. */
  list(name: string): string[] {
    const value = this.#raw(name, "strings");
    const parts = Array.isArray(value) ? value.flatMap((part) => String(part).split(",")) : String(value).split(",");
    return parts.map((part) => part.trim()).filter((part) => part !== "");
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const value = this.text(name);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw invalid(name, `must be one of ${choices.join(", ")}, got "${value}"`);
    return found;
  }

  url(name: string): URL | undefined {
    const value = this.text(name);
    if (value === "") return undefined;
    if (!URL.canParse(value)) throw invalid(name, `must be a URL such as https://coder.example.com, got "${value}"`);
    const url = new URL(value);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw invalid(name, `must begin with http:// or https://, got "${value}"`);
    }
    if (url.username !== "" || url.password !== "") throw invalid(name, "must not hold a user name or a password");
    return url;
  }

  listenAddress(name: string): ListenAddress {
    const value = this.text(name);
    const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:[\]]*)):(\d{1,5})$/.exec(value);
    const port = Number(match?.[3]);
    if (match === null || port > 65_535)
      throw invalid(name, `must be host:port such as 127.0.0.1:3000, got "${value}"`);
    return { host: match[1] ?? match[2] ?? "", port };
  }

  #raw(name: string, ...types: readonly ServerFlagType[]): string | boolean | number | readonly string[] {
    const flag: ServerFlag | undefined = serverFlags.find((candidate) => candidate.name === name);
    if (flag === undefined || !types.includes(flag.type))
      throw new TypeError(`the table has no ${types[0]} flag ${name}`);
    return this.#values[name] ?? flag.default;
  }
}
