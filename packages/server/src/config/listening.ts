/** Settings that a server and a workspace proxy have in common: how the process listens and what it reports. */
import { BlockList, isIP } from "node:net";
import type { ListenAddress } from "../base/listen-address.ts";
import type { ServerLogLevel } from "../base/log.ts";
import type { FlagReader } from "./flag-reader.ts";

export interface TlsConfig {
  readonly address: ListenAddress;
  /** Same length as keyFiles, at least one. */
  readonly certFiles: readonly string[];
  readonly keyFiles: readonly string[];
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
}

export interface ListeningConfig {
  readonly allowedHosts: readonly string[];
  readonly http: ListenAddress | undefined;
  readonly tls: TlsConfig | undefined;
  readonly hstsMaxAgeSeconds: number;
  readonly proxyTrustedHeaders: readonly string[];
  readonly proxyTrustedOrigins: readonly string[];
  readonly prometheus: ListenAddress | undefined;
  readonly logFormat: "human" | "json";
  readonly logLevel: ServerLogLevel;
}

/** Throws ServerError ERR_CONFIG. */
export function listeningConfig(read: FlagReader): ListeningConfig {
  const http = read.text("http-address") === "" ? undefined : read.listenAddress("http-address");
  const tls = read.boolean("tls-enable") ? tlsConfig(read) : undefined;
  if (http === undefined && tls === undefined) {
    throw read.invalid("http-address", "is empty and --tls-enable is off, so there is nothing to listen on");
  }
  return {
    allowedHosts: read.list("allowed-hosts").map((host) => allowedHost(read, host)),
    http,
    tls,
    hstsMaxAgeSeconds: read.integer("strict-transport-security", 0, 4 * 31_536_000),
    proxyTrustedHeaders: read.list("proxy-trusted-headers").map((name) => headerName(read, name)),
    proxyTrustedOrigins: read.list("proxy-trusted-origins").map((range) => addressRange(read, range)),
    prometheus: read.boolean("prometheus-enable") ? read.listenAddress("prometheus-address") : undefined,
    logFormat: read.choice("log-format", ["human", "json"]),
    logLevel: read.boolean("verbose") ? "debug" : read.choice("log-level", ["trace", "debug", "info", "warn", "error"]),
  };
}

function tlsConfig(read: FlagReader): TlsConfig {
  const certFiles = read.list("tls-cert-file");
  const keyFiles = read.list("tls-key-file");
  if (certFiles.length === 0) throw read.invalid("tls-cert-file", "is needed with --tls-enable");
  if (certFiles.length !== keyFiles.length) {
    throw read.invalid(
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

function allowedHost(read: FlagReader, host: string): string {
  if (host !== "*" && !/^(\*\.)?[a-zA-Z0-9_.:[\]-]+$/.test(host)) {
    throw read.invalid("allowed-hosts", `must hold host names, addresses or *.domain, got "${host}"`);
  }
  return host.toLowerCase();
}

function headerName(read: FlagReader, name: string): string {
  if (!/^[a-zA-Z0-9-]+$/.test(name))
    throw read.invalid("proxy-trusted-headers", `must hold header names, got "${name}"`);
  return name.toLowerCase();
}

function addressRange(read: FlagReader, range: string): string {
  try {
    addRange(new BlockList(), range);
  } catch {
    throw read.invalid("proxy-trusted-origins", `must hold addresses or CIDR ranges, got "${range}"`);
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
