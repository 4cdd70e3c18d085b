import type { BrowserOnlyRule } from "coder-protocol/rest/connection-policy";
import { formatListenAddress, type ListenAddress } from "../../base/listen-address.ts";
import { msToNanoseconds } from "../../config/durations.ts";
import type { ServerConfig } from "../../config/parse.ts";

/** The settings under the names that stock servers use. None of them is secret; paths of files are omitted. */
export function deploymentConfig(config: ServerConfig, browserOnly: BrowserOnlyRule): Record<string, unknown> {
  const { derp, tls } = config;
  return {
    access_url: config.accessUrl?.href ?? "",
    wildcard_access_url: config.wildcardAccessUrl?.pattern ?? "",
    redirect_to_access_url: config.redirectToAccessUrl,
    http_address: listening(config.http),
    tls: {
      enable: tls !== undefined,
      address: listening(tls?.address),
      min_version: tls === undefined ? "" : tls.minVersion.replace("TLSv1.", "tls1"),
    },
    strict_transport_security: config.hstsMaxAgeSeconds,
    http_cookies: { secure_auth_cookie: config.secureAuthCookie },
    proxy_trusted_headers: config.proxyTrustedHeaders,
    proxy_trusted_origins: config.proxyTrustedOrigins,
    derp: {
      server: {
        enable: derp.serverEnabled,
        region_id: derp.regionId,
        region_code: derp.regionCode,
        region_name: derp.regionName,
        stun_addresses: derp.stunAddresses,
        relay_url: derp.relayUrl?.href ?? "",
      },
      config: {
        block_direct: derp.blockDirect,
        force_websockets: derp.forceWebsockets,
        url: derp.configUrl?.href ?? "",
      },
    },
    session_lifetime: {
      default_duration: msToNanoseconds(config.sessionDurationMs),
      default_token_lifetime: msToNanoseconds(config.defaultTokenLifetimeMs),
      max_token_lifetime: msToNanoseconds(config.maxTokenLifetimeMs),
    },
    config_ssh: { deploymentName: config.sshHostnamePrefix, sshConfigOptions: null },
    workspace_hostname_suffix: config.workspaceHostnameSuffix,
    prometheus: { enable: config.prometheus !== undefined, address: listening(config.prometheus) },
    healthcheck: {
      refresh: msToNanoseconds(config.healthCheckRefreshMs),
      threshold_database: msToNanoseconds(config.databaseThresholdMs),
    },
    logging: {
      human: config.logFormat === "human" ? "/dev/stderr" : "",
      json: config.logFormat === "json" ? "/dev/stderr" : "",
    },
    browser_only: browserOnly !== "off",
    telemetry: { enable: false },
    update_check: false,
  };
}

function listening(address: ListenAddress | undefined): string {
  return address === undefined ? "" : formatListenAddress(address);
}
