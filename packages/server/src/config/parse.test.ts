import { describe, expect, test } from "vitest";
import { ServerError } from "../base/errors.ts";
import { configFromEnv, serverFlags } from "./flags.ts";
import { parseServerConfig } from "./parse.ts";

const surroundings = { homeDir: "/home/ada" };

function problem(values: Record<string, string | boolean | number | string[]>): string {
  try {
    parseServerConfig(values, surroundings);
  } catch (error) {
    if (error instanceof ServerError && error.code === "ERR_CONFIG") return error.title;
    throw error;
  }
  return "no problem";
}

test("the table of settings: names, variables, types and defaults", () => {
  expect(serverFlags.map((flag) => `${flag.name} ${flag.env} ${flag.type} ${flag.default}`)).toMatchInlineSnapshot(`
    [
      "access-url CODER_ACCESS_URL string ",
      "wildcard-access-url CODER_WILDCARD_ACCESS_URL string ",
      "allowed-hosts CODER_ALLOWED_HOSTS strings ",
      "redirect-to-access-url CODER_REDIRECT_TO_ACCESS_URL boolean false",
      "http-address CODER_HTTP_ADDRESS string 127.0.0.1:3000",
      "dashboard CODER_DASHBOARD boolean true",
      "proxy-trusted-headers CODER_PROXY_TRUSTED_HEADERS strings ",
      "proxy-trusted-origins CODER_PROXY_TRUSTED_ORIGINS strings ",
      "tls-enable CODER_TLS_ENABLE boolean false",
      "tls-address CODER_TLS_ADDRESS string 127.0.0.1:3443",
      "tls-cert-file CODER_TLS_CERT_FILE strings ",
      "tls-key-file CODER_TLS_KEY_FILE strings ",
      "tls-min-version CODER_TLS_MIN_VERSION string tls12",
      "strict-transport-security CODER_STRICT_TRANSPORT_SECURITY integer 0",
      "secure-auth-cookie CODER_SECURE_AUTH_COOKIE boolean false",
      "derp-server-enable CODER_DERP_SERVER_ENABLE boolean true",
      "derp-server-region-id CODER_DERP_SERVER_REGION_ID integer 999",
      "derp-server-region-code CODER_DERP_SERVER_REGION_CODE string coder",
      "derp-server-region-name CODER_DERP_SERVER_REGION_NAME string Coder Embedded Relay",
      "derp-server-relay-url CODER_DERP_SERVER_RELAY_URL string ",
      "derp-server-stun-addresses CODER_DERP_SERVER_STUN_ADDRESSES strings stun.l.google.com:19302,stun1.l.google.com:19302,stun2.l.google.com:19302,stun3.l.google.com:19302,stun4.l.google.com:19302",
      "stun-address CODER_STUN_ADDRESS string :3478",
      "stun-announce CODER_STUN_ANNOUNCE strings ",
      "derp-force-websockets CODER_DERP_FORCE_WEBSOCKETS boolean false",
      "derp-config-url CODER_DERP_CONFIG_URL string ",
      "derp-config-path CODER_DERP_CONFIG_PATH string ",
      "proxy-health-interval CODER_PROXY_HEALTH_INTERVAL duration 1m",
      "block-direct-connections CODER_BLOCK_DIRECT boolean false",
      "browser-only CODER_BROWSER_ONLY string false",
      "browser-only-files CODER_BROWSER_ONLY_FILES boolean false",
      "session-duration CODER_SESSION_DURATION duration 24h",
      "default-token-lifetime CODER_DEFAULT_TOKEN_LIFETIME duration 168h",
      "max-token-lifetime CODER_MAX_TOKEN_LIFETIME duration 876600h",
      "max-share-level CODER_MAX_SHARE_LEVEL string authenticated",
      "max-share-duration CODER_MAX_SHARE_DURATION duration ",
      "disable-path-apps CODER_DISABLE_PATH_APPS boolean false",
      "dangerous-allow-path-app-sharing CODER_DANGEROUS_ALLOW_PATH_APP_SHARING boolean false",
      "dangerous-allow-path-app-site-owner-access CODER_DANGEROUS_ALLOW_PATH_APP_SITE_OWNER_ACCESS boolean false",
      "max-upload-size CODER_MAX_UPLOAD_SIZE string 1GiB",
      "ssh-hostname-prefix CODER_SSH_HOSTNAME_PREFIX string coder.",
      "workspace-hostname-suffix CODER_WORKSPACE_HOSTNAME_SUFFIX string coder",
      "ssh-config-options CODER_SSH_CONFIG_OPTIONS strings ",
      "prometheus-enable CODER_PROMETHEUS_ENABLE boolean false",
      "prometheus-address CODER_PROMETHEUS_ADDRESS string 127.0.0.1:2112",
      "health-check-refresh CODER_HEALTH_CHECK_REFRESH duration 10m",
      "health-check-threshold-database CODER_HEALTH_CHECK_THRESHOLD_DATABASE duration 15ms",
      "log-format CODER_LOG_FORMAT string human",
      "log-level CODER_LOG_LEVEL string info",
      "verbose CODER_VERBOSE boolean false",
      "state-dir CODER_STATE_DIRECTORY string ",
      "postgres-url CODER_PG_CONNECTION_URL string ",
      "postgres-url-file CODER_PG_CONNECTION_URL_FILE string ",
      "postgres-auth CODER_PG_AUTH string password",
      "postgres-conn-max-open CODER_PG_CONN_MAX_OPEN integer 10",
      "postgres-conn-max-idle CODER_PG_CONN_MAX_IDLE string auto",
      "keys-file CODER_KEYS_FILE string ",
      "shutdown-drain CODER_SHUTDOWN_DRAIN string 5s",
      "binaries-dir CODER_BINARIES_DIR string ",
      "cache-dir CODER_CACHE_DIRECTORY string ",
    ]
  `);
});

test("names and variables are unique and every flag has a description", () => {
  expect(new Set(serverFlags.map((flag) => flag.name)).size).toBe(serverFlags.length);
  expect(new Set(serverFlags.map((flag) => flag.env)).size).toBe(serverFlags.length);
  for (const flag of serverFlags) {
    expect(flag.name).toMatch(/^[a-z][a-z-]+$/);
    expect(flag.env).toMatch(/^CODER_[A-Z_]+$/);
    expect(flag.description).toMatch(/^[^\n]{10,}[^.]$/);
  }
});

test("defaults alone are a working configuration", () => {
  expect(parseServerConfig({}, surroundings)).toMatchInlineSnapshot(`
    {
      "accessUrl": undefined,
      "allowedHosts": [],
      "binariesDir": undefined,
      "browserOnly": "off",
      "browserOnlyFiles": false,
      "dashboard": true,
      "databaseThresholdMs": 15,
      "defaultTokenLifetimeMs": 604800000,
      "derp": {
        "blockDirect": false,
        "configPath": undefined,
        "configUrl": undefined,
        "forceWebsockets": false,
        "regionCode": "coder",
        "regionId": 999,
        "regionName": "Coder Embedded Relay",
        "relayUrl": undefined,
        "serverEnabled": true,
        "stunAddresses": [
          "stun.l.google.com:19302",
          "stun1.l.google.com:19302",
          "stun2.l.google.com:19302",
          "stun3.l.google.com:19302",
          "stun4.l.google.com:19302",
        ],
        "stunAnnounced": [],
        "stunServer": {
          "host": "",
          "port": 3478,
        },
      },
      "given": {},
      "healthCheckRefreshMs": 600000,
      "hstsMaxAgeSeconds": 0,
      "http": {
        "host": "127.0.0.1",
        "port": 3000,
      },
      "keysFile": undefined,
      "logFormat": "human",
      "logLevel": "info",
      "maxShareDurationMs": undefined,
      "maxShareLevel": "authenticated",
      "maxTokenLifetimeMs": 3155760000000,
      "maxUploadBytes": 1073741824,
      "pathApps": {
        "disabled": true,
        "sharing": false,
        "siteOwnerAccess": false,
      },
      "postgres": undefined,
      "prometheus": undefined,
      "proxyHealthIntervalMs": 60000,
      "proxyTrustedHeaders": [],
      "proxyTrustedOrigins": [],
      "redirectToAccessUrl": false,
      "secureAuthCookie": false,
      "sessionDurationMs": 86400000,
      "shutdownDrainMs": 5000,
      "sshConfigOptions": {},
      "sshHostnamePrefix": "coder.",
      "stateDir": "/home/ada/.local/state/coder-server",
      "tls": undefined,
      "wildcardAccessUrl": {
        "pattern": "*.coder.localhost",
        "port": undefined,
        "suffix": ".coder.localhost",
      },
      "workspaceHostnameSuffix": "coder",
    }
  `);
});

test("the state directory follows XDG_STATE_HOME, cache-dir, state-dir in rising order", () => {
  const at = (values: Record<string, string>, stateHome?: string) =>
    parseServerConfig(values, stateHome === undefined ? surroundings : { ...surroundings, stateHome }).stateDir;
  expect(at({}, "/state")).toBe("/state/coder-server");
  expect(at({ "cache-dir": "/cache" }, "/state")).toBe("/cache");
  expect(at({ "cache-dir": "/cache", "state-dir": "/own" })).toBe("/own");
});

test("every setting can come from the environment, as text", () => {
  const config = parseServerConfig(
    configFromEnv({
      CODER_ACCESS_URL: "https://coder.example.com",
      CODER_HTTP_ADDRESS: "",
      CODER_TLS_ENABLE: "1",
      CODER_TLS_ADDRESS: "[::1]:443",
      CODER_TLS_CERT_FILE: "a.pem,b.pem",
      CODER_TLS_KEY_FILE: "a.key, b.key",
      CODER_TLS_MIN_VERSION: "tls13",
      CODER_DERP_SERVER_STUN_ADDRESSES: "disable",
      CODER_BLOCK_DIRECT: "true",
      CODER_SESSION_DURATION: "1h30m",
      CODER_SSH_CONFIG_OPTIONS: "ForwardAgent=yes,Port 22",
      CODER_VERBOSE: "yes",
      CODER_PROMETHEUS_ENABLE: "true",
      HOME: "/ignored",
      CODER_UNKNOWN: "ignored",
    }),
    surroundings,
  );
  expect(config).toMatchObject({
    http: undefined,
    tls: {
      address: { host: "::1", port: 443 },
      certFiles: ["a.pem", "b.pem"],
      keyFiles: ["a.key", "b.key"],
      minVersion: "TLSv1.3",
    },
    derp: { stunAddresses: [], blockDirect: true },
    sessionDurationMs: 5_400_000,
    sshConfigOptions: { ForwardAgent: "yes", Port: "22" },
    logLevel: "debug",
    prometheus: { host: "127.0.0.1", port: 2112 },
  });
  expect(config.accessUrl?.href).toBe("https://coder.example.com/");
});

describe("a bad value is named in one sentence", () => {
  const cases: [Record<string, string | boolean | number | string[]>, string][] = [
    [{ nonsense: "1" }, "--nonsense is not a setting of the server"],
    [
      { "access-url": "coder.example.com" },
      '--access-url must be a URL such as https://coder.example.com, got "coder.example.com"',
    ],
    [{ "access-url": "ftp://x" }, '--access-url must begin with http:// or https://, got "ftp://x"'],
    [{ "access-url": "https://u:p@x" }, "--access-url must not hold a user name or a password"],
    [
      { "wildcard-access-url": "*.*.x" },
      '--wildcard-access-url must begin with "*." or "*-", hold no other "*" and be a host name with an optional port, got "*.*.x"',
    ],
    [
      { "stun-announce": "stun:stun.example.com" },
      '--stun-announce must hold host or host:port, got "stun:stun.example.com"',
    ],
    [
      { "stun-announce": "stun.example.com:0" },
      '--stun-announce must hold host or host:port, got "stun.example.com:0"',
    ],
    [{ "stun-announce": "[::1]:65536" }, '--stun-announce must hold host or host:port, got "[::1]:65536"'],
    [
      { "stun-announce": "192.0.2.1", "block-direct-connections": true },
      "--stun-announce and --block-direct-connections exclude each other",
    ],
    [
      { "stun-announce": "192.0.2.1", "derp-server-enable": false, "derp-config-path": "map.json" },
      "--stun-announce needs the embedded relay, which --derp-server-enable switches off",
    ],
    [{ "stun-announce": Array(17).fill("192.0.2.1") }, "--stun-announce must hold at most 16 addresses"],
    [{ "http-address": "3000" }, '--http-address must be host:port such as 127.0.0.1:3000, got "3000"'],
    [
      { "http-address": "127.0.0.1:70000" },
      '--http-address must be host:port such as 127.0.0.1:3000, got "127.0.0.1:70000"',
    ],
    [{ "http-address": "" }, "--http-address is empty and --tls-enable is off, so there is nothing to listen on"],
    [{ "tls-enable": true }, "--tls-cert-file is needed with --tls-enable"],
    [
      { "tls-enable": true, "tls-cert-file": ["a", "b"], "tls-key-file": "a" },
      "--tls-key-file must name one key for each certificate: 2 certificates, 1 keys",
    ],
    [
      { "tls-enable": true, "tls-cert-file": "a", "tls-key-file": "a", "tls-min-version": "tls11" },
      '--tls-min-version must be one of tls12, tls13, got "tls11"',
    ],
    [{ "session-duration": "soon" }, '--session-duration must be a duration such as 24h or 30m, got "soon"'],
    [{ "session-duration": "0" }, '--session-duration must be a duration such as 24h or 30m, got "0"'],
    [
      { "default-token-lifetime": "2h", "max-token-lifetime": "1h" },
      "--default-token-lifetime must not be longer than --max-token-lifetime",
    ],
    [
      { "derp-config-url": "https://x", "derp-config-path": "y" },
      "--derp-config-path and --derp-config-url exclude each other",
    ],
    [
      { "derp-server-enable": "false" },
      "--derp-server-enable is off and there is no --derp-config-url or --derp-config-path, so there is no relay",
    ],
    [{ "derp-server-region-id": "0" }, '--derp-server-region-id must be a whole number from 1 to 65535, got "0"'],
    [
      { "derp-server-stun-addresses": "x" },
      '--derp-server-stun-addresses must hold host:port or be "disable", got "x"',
    ],
    [
      { "ssh-hostname-prefix": "a b\nHost *" },
      '--ssh-hostname-prefix must consist of letters, digits, dots, hyphens and underscores, got "a b\nHost *"',
    ],
    [
      { "ssh-config-options": ["A=b\nProxyCommand=x"] },
      '--ssh-config-options must hold Key=Value entries, got "A=b\\nProxyCommand=x"',
    ],
    [
      { "proxy-trusted-origins": "10.0.0.0/99" },
      '--proxy-trusted-origins must hold addresses or CIDR ranges, got "10.0.0.0/99"',
    ],
    [{ "proxy-trusted-headers": "X Y" }, '--proxy-trusted-headers must hold header names, got "X Y"'],
    [{ "allowed-hosts": "a b" }, '--allowed-hosts must hold host names, addresses or *.domain, got "a b"'],
    [{ "block-direct-connections": "maybe" }, '--block-direct-connections must be true or false, got "maybe"'],
    [
      { "wildcard-access-url": "*.workspaces" },
      '--wildcard-access-url must have at least two labels after the "*", such as *.apps.example.com, got "*.workspaces"',
    ],
    [
      { "wildcard-access-url": "*.apps.example.com", "allowed-hosts": "a.example.com,*.example.com" },
      '--allowed-hosts must not cover the hosts of --wildcard-access-url, but "*.example.com" does',
    ],
    [
      { "max-share-level": "everyone" },
      '--max-share-level must be one of owner, organization, authenticated, public, got "everyone"',
    ],
    [{ "max-upload-size": "1 lot" }, '--max-upload-size must be a size such as 500MB, 1GiB or 0, got "1 lot"'],
    [{ "max-share-duration": "1" }, '--max-share-duration must be a duration such as 24h or 30m, got "1"'],
    [{ "log-level": "loud" }, '--log-level must be one of trace, debug, info, warn, error, got "loud"'],
  ];
  test.each(cases)("%j", (values, sentence) => expect(problem(values)).toBe(sentence));
});
