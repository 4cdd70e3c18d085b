/**
 * Every setting of the server in one table, which has no effects: the command line turns it into flags, `configFromEnv` reads the
 * environment through it, and `parseServerConfig` (parse.ts) turns the values into a checked ServerConfig.
 */
export type ServerFlagType = "string" | "strings" | "boolean" | "integer" | "duration";

export interface ServerFlag {
  /** Long flag without the dashes. */
  readonly name: string;
  readonly env: string;
  readonly type: ServerFlagType;
  /** In the form that a user types; "" means unset. */
  readonly default: string;
  readonly description: string;
  /** A variable that is set but empty counts: it switches the setting off. */
  readonly emptyCounts?: boolean;
  /** The value when the flag is given without one. */
  readonly bare?: string;
  readonly group: "Networking" | "TLS" | "Relay" | "Sessions" | "Client" | "Observability" | "Storage";
}

/** The input of parseServerConfig by flag name: texts as typed, or values already of the flag's type. */
export type ServerFlagValues = Readonly<Record<string, string | boolean | number | readonly string[] | undefined>>;

const DAY_LIFETIME = "24h";

const SERVER_FLAGS = [
  {
    name: "access-url",
    env: "CODER_ACCESS_URL",
    type: "string",
    default: "",
    description: "URL under which clients and agents reach this server; default: the address it listens on",
    group: "Networking",
  },
  {
    name: "wildcard-access-url",
    env: "CODER_WILDCARD_ACCESS_URL",
    type: "string",
    default: "",
    description:
      "Host names of web apps, such as *.apps.example.com: each is served at a name of its own. Default: *.coder.localhost on a server without an access URL that listens on loopback alone. Anywhere else apps are served below /@owner/workspace/apps/ without it, and ports are not served",
    group: "Networking",
  },
  {
    name: "allowed-hosts",
    env: "CODER_ALLOWED_HOSTS",
    type: "strings",
    default: "",
    description: "Further host names this server answers to besides the access URL's; *.example.com matches subdomains",
    group: "Networking",
  },
  {
    name: "redirect-to-access-url",
    env: "CODER_REDIRECT_TO_ACCESS_URL",
    type: "boolean",
    default: "false",
    description: "Send requests for any other host name to the access URL",
    group: "Networking",
  },
  {
    name: "http-address",
    env: "CODER_HTTP_ADDRESS",
    type: "string",
    default: "127.0.0.1:3000",
    description: "Address for plain http; empty switches it off",
    emptyCounts: true,
    group: "Networking",
  },
  {
    name: "dashboard",
    env: "CODER_DASHBOARD",
    type: "boolean",
    default: "true",
    description: "Serve the dashboard; without it only the page for logging in the command line is left",
    group: "Networking",
  },
  {
    name: "proxy-trusted-headers",
    env: "CODER_PROXY_TRUSTED_HEADERS",
    type: "strings",
    default: "",
    description: "Headers that carry the client's address when a trusted proxy sent the request",
    group: "Networking",
  },
  {
    name: "proxy-trusted-origins",
    env: "CODER_PROXY_TRUSTED_ORIGINS",
    type: "strings",
    default: "",
    description: "Addresses or CIDR ranges of proxies whose headers are believed",
    group: "Networking",
  },
  {
    name: "tls-enable",
    env: "CODER_TLS_ENABLE",
    type: "boolean",
    default: "false",
    description: "Serve https",
    group: "TLS",
  },
  {
    name: "tls-address",
    env: "CODER_TLS_ADDRESS",
    type: "string",
    default: "127.0.0.1:3443",
    description: "Address for https",
    group: "TLS",
  },
  {
    name: "tls-cert-file",
    env: "CODER_TLS_CERT_FILE",
    type: "strings",
    default: "",
    description:
      "PEM certificate chains; the one that names the requested host is used, else the first. Read again when a file changes and on SIGHUP",
    group: "TLS",
  },
  {
    name: "tls-key-file",
    env: "CODER_TLS_KEY_FILE",
    type: "strings",
    default: "",
    description: "PEM private keys, in the order of the certificates",
    group: "TLS",
  },
  {
    name: "tls-min-version",
    env: "CODER_TLS_MIN_VERSION",
    type: "string",
    default: "tls12",
    description: "Lowest TLS version: tls12 or tls13",
    group: "TLS",
  },
  {
    name: "strict-transport-security",
    env: "CODER_STRICT_TRANSPORT_SECURITY",
    type: "integer",
    default: "0",
    description: "max-age in seconds of the Strict-Transport-Security header on https; 0 leaves it out",
    group: "TLS",
  },
  {
    name: "secure-auth-cookie",
    env: "CODER_SECURE_AUTH_COOKIE",
    type: "boolean",
    default: "false",
    description: "Mark cookies Secure even when the access URL is http",
    group: "TLS",
  },
  {
    name: "derp-server-enable",
    env: "CODER_DERP_SERVER_ENABLE",
    type: "boolean",
    default: "true",
    description: "Run the embedded relay",
    group: "Relay",
  },
  {
    name: "derp-server-region-id",
    env: "CODER_DERP_SERVER_REGION_ID",
    type: "integer",
    default: "999",
    description: "Region id of the embedded relay",
    group: "Relay",
  },
  {
    name: "derp-server-region-code",
    env: "CODER_DERP_SERVER_REGION_CODE",
    type: "string",
    default: "coder",
    description: "Region code of the embedded relay",
    group: "Relay",
  },
  {
    name: "derp-server-region-name",
    env: "CODER_DERP_SERVER_REGION_NAME",
    type: "string",
    default: "Coder Embedded Relay",
    description: "Region name of the embedded relay",
    group: "Relay",
  },
  {
    name: "derp-server-relay-url",
    env: "CODER_DERP_SERVER_RELAY_URL",
    type: "string",
    default: "",
    description: "URL under which other replicas reach this one's relay",
    group: "Relay",
  },
  {
    name: "derp-server-stun-addresses",
    env: "CODER_DERP_SERVER_STUN_ADDRESSES",
    type: "strings",
    default:
      "stun.l.google.com:19302,stun1.l.google.com:19302,stun2.l.google.com:19302,stun3.l.google.com:19302,stun4.l.google.com:19302",
    description: "STUN servers that others run, each a region of its own; disable leaves them out",
    group: "Relay",
  },
  {
    name: "stun-address",
    env: "CODER_STUN_ADDRESS",
    type: "string",
    default: ":3478",
    description:
      "UDP address of this server's own STUN server, announced with the embedded relay; disable switches it off",
    group: "Relay",
  },
  {
    name: "stun-announce",
    env: "CODER_STUN_ANNOUNCE",
    type: "strings",
    default: "",
    description:
      "Where clients reach the STUN servers of the deployment, host[:port] each, for servers behind a balancer. Default: the host of the access URL; none with --derp-server-relay-url",
    group: "Relay",
  },
  {
    name: "derp-force-websockets",
    env: "CODER_DERP_FORCE_WEBSOCKETS",
    type: "boolean",
    default: "false",
    description: "Make clients and agents reach the relay by WebSocket only",
    group: "Relay",
  },
  {
    name: "derp-config-url",
    env: "CODER_DERP_CONFIG_URL",
    type: "string",
    default: "",
    description: "URL of a relay map to use in addition to the embedded relay; not together with derp-config-path",
    group: "Relay",
  },
  {
    name: "derp-config-path",
    env: "CODER_DERP_CONFIG_PATH",
    type: "string",
    default: "",
    description: "File with a relay map to use in addition to the embedded relay; not together with derp-config-url",
    group: "Relay",
  },
  {
    name: "proxy-health-interval",
    env: "CODER_PROXY_HEALTH_INTERVAL",
    type: "duration",
    default: "1m",
    description: "How often each workspace proxy is checked",
    group: "Relay",
  },
  {
    name: "block-direct-connections",
    env: "CODER_BLOCK_DIRECT",
    type: "boolean",
    default: "false",
    description: "Allow relayed connections only",
    group: "Relay",
  },
  {
    name: "browser-only",
    env: "CODER_BROWSER_ONLY",
    type: "string",
    default: "false",
    description:
      "Refuse connections to workspaces from anything but web browsers: true or enforced, default (a workspace may be set to allow any client), or false",
    bare: "true",
    group: "Sessions",
  },
  {
    name: "browser-only-files",
    env: "CODER_BROWSER_ONLY_FILES",
    type: "boolean",
    default: "false",
    description: "Let pages move files into and out of workspaces that only browsers may connect to",
    group: "Sessions",
  },
  {
    name: "session-duration",
    env: "CODER_SESSION_DURATION",
    type: "duration",
    default: DAY_LIFETIME,
    description: "How long an unused login stays valid",
    group: "Sessions",
  },
  {
    name: "default-token-lifetime",
    env: "CODER_DEFAULT_TOKEN_LIFETIME",
    type: "duration",
    default: "168h",
    description: "Lifetime of an API token that is created without one",
    group: "Sessions",
  },
  {
    name: "max-token-lifetime",
    env: "CODER_MAX_TOKEN_LIFETIME",
    type: "duration",
    default: "876600h",
    description: "Longest lifetime of an API token",
    group: "Sessions",
  },
  {
    name: "max-share-level",
    env: "CODER_MAX_SHARE_LEVEL",
    type: "string",
    default: "authenticated",
    description: "The widest level at which ports are shared: owner, organization, authenticated or public",
    group: "Sessions",
  },
  {
    name: "max-share-duration",
    env: "CODER_MAX_SHARE_DURATION",
    type: "duration",
    default: "",
    description: "How long a port may be shared at most; default: until the share is removed",
    group: "Sessions",
  },
  {
    name: "disable-path-apps",
    env: "CODER_DISABLE_PATH_APPS",
    type: "boolean",
    default: "false",
    description:
      "Serve no apps below /@owner/workspace/apps/: their pages have the dashboard's origin. Default: on with --wildcard-access-url, off without",
    group: "Sessions",
  },
  {
    name: "dangerous-allow-path-app-sharing",
    env: "CODER_DANGEROUS_ALLOW_PATH_APP_SHARING",
    type: "boolean",
    default: "false",
    description:
      "Let apps below a path be shared: a visitor's browser runs their pages with the visitor's login to this deployment",
    group: "Sessions",
  },
  {
    name: "dangerous-allow-path-app-site-owner-access",
    env: "CODER_DANGEROUS_ALLOW_PATH_APP_SITE_OWNER_ACCESS",
    type: "boolean",
    default: "false",
    description:
      "Let owners of the deployment open other users' apps below a path, whose pages then run with the owner's login",
    group: "Sessions",
  },
  {
    name: "max-upload-size",
    env: "CODER_MAX_UPLOAD_SIZE",
    type: "string",
    default: "1GiB",
    description: "Largest file that a page uploads into a workspace; 0 switches uploads off",
    group: "Sessions",
  },
  {
    name: "ssh-hostname-prefix",
    env: "CODER_SSH_HOSTNAME_PREFIX",
    type: "string",
    default: "coder.",
    description: "Prefix of host names that config-ssh writes",
    group: "Client",
  },
  {
    name: "workspace-hostname-suffix",
    env: "CODER_WORKSPACE_HOSTNAME_SUFFIX",
    type: "string",
    default: "coder",
    description: "Suffix of workspace host names",
    group: "Client",
  },
  {
    name: "ssh-config-options",
    env: "CODER_SSH_CONFIG_OPTIONS",
    type: "strings",
    default: "",
    description: "SSH options that config-ssh writes for every user, each Key=Value",
    group: "Client",
  },
  {
    name: "prometheus-enable",
    env: "CODER_PROMETHEUS_ENABLE",
    type: "boolean",
    default: "false",
    description: "Serve metrics on prometheus-address",
    group: "Observability",
  },
  {
    name: "prometheus-address",
    env: "CODER_PROMETHEUS_ADDRESS",
    type: "string",
    default: "127.0.0.1:2112",
    description: "Address for metrics; without authentication, so keep it private",
    group: "Observability",
  },
  {
    name: "health-check-refresh",
    env: "CODER_HEALTH_CHECK_REFRESH",
    type: "duration",
    default: "10m",
    description: "How long a health report is reused before the checks run again",
    group: "Observability",
  },
  {
    name: "health-check-threshold-database",
    env: "CODER_HEALTH_CHECK_THRESHOLD_DATABASE",
    type: "duration",
    default: "15ms",
    description: "A database whose median answer takes longer is reported as slow",
    group: "Observability",
  },
  {
    name: "log-format",
    env: "CODER_LOG_FORMAT",
    type: "string",
    default: "human",
    description: "Form of log lines on stderr: human or json",
    group: "Observability",
  },
  {
    name: "log-level",
    env: "CODER_LOG_LEVEL",
    type: "string",
    default: "info",
    description: "Lowest level to log: trace, debug, info, warn or error",
    group: "Observability",
  },
  {
    name: "verbose",
    env: "CODER_VERBOSE",
    type: "boolean",
    default: "false",
    description: "Log at debug level",
    group: "Observability",
  },
  {
    name: "state-dir",
    env: "CODER_STATE_DIRECTORY",
    type: "string",
    default: "",
    description:
      "Directory of the database and the keys; default: cache-dir, else coder-server in the user's state directory",
    group: "Storage",
  },
  {
    name: "postgres-url",
    env: "CODER_PG_CONNECTION_URL",
    type: "string",
    default: "",
    description:
      "Keep the deployment in this PostgreSQL database, as postgres://user:password@host:5432/database, instead of a file in state-dir. Other users of the machine may see flags: prefer the variable or postgres-url-file",
    group: "Storage",
  },
  {
    name: "postgres-url-file",
    env: "CODER_PG_CONNECTION_URL_FILE",
    type: "string",
    default: "",
    description:
      "File whose first line is the URL of the PostgreSQL database; read again for every new connection, so a password can be replaced without a restart",
    group: "Storage",
  },
  {
    name: "postgres-auth",
    env: "CODER_PG_AUTH",
    type: "string",
    default: "password",
    description: "How to log in to PostgreSQL: password",
    group: "Storage",
  },
  {
    name: "postgres-conn-max-open",
    env: "CODER_PG_CONN_MAX_OPEN",
    type: "integer",
    default: "10",
    description: "Connections to PostgreSQL at most, from 2 to 200",
    group: "Storage",
  },
  {
    name: "postgres-conn-max-idle",
    env: "CODER_PG_CONN_MAX_IDLE",
    type: "string",
    default: "auto",
    description: "Connections to PostgreSQL that are kept while idle; auto: a third of postgres-conn-max-open",
    group: "Storage",
  },
  {
    name: "keys-file",
    env: "CODER_KEYS_FILE",
    type: "string",
    default: "",
    description:
      "File of the server's secret keys; servers that share a database need the same content. Default: keys.json in state-dir",
    group: "Storage",
  },
  {
    name: "shutdown-drain",
    env: "CODER_SHUTDOWN_DRAIN",
    type: "string",
    default: "5s",
    description:
      "How long a server that is stopped still takes new connections while balancers notice, where another server shares its database; then what is connected ends one by one over twice that time, 10s at most. From 0, everything ends at once, to 60s",
    group: "Storage",
  },
  {
    name: "binaries-dir",
    env: "CODER_BINARIES_DIR",
    type: "string",
    default: "",
    description:
      "Folder of executables for other machines, which /bin/ and the install scripts hand out: coder-linux-amd64 and so on; default: those that came with this one",
    group: "Storage",
  },
  {
    name: "cache-dir",
    env: "CODER_CACHE_DIRECTORY",
    type: "string",
    default: "",
    description: "Older name of state-dir",
    group: "Storage",
  },
] as const satisfies readonly ServerFlag[];

/** A row of the table with its literal name and type, so that command lines can check them at compile time. */
export type ServerFlagRow = (typeof SERVER_FLAGS)[number];

export const serverFlags: readonly ServerFlag[] = SERVER_FLAGS;

/** Values of the table's variables that are set. An empty variable counts only where the table says so. */
export function configFromEnv(env: Readonly<Record<string, string | undefined>>): ServerFlagValues {
  const values: Record<string, string> = {};
  for (const flag of serverFlags) {
    const value = env[flag.env];
    if (value !== undefined && (value !== "" || flag.emptyCounts === true)) values[flag.name] = value;
  }
  return values;
}
