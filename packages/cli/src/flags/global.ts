import type { FlagSpec } from "./spec.ts";

/** Flags every command takes, before or after its name. */
export const GLOBAL_FLAGS: readonly FlagSpec[] = [
  { name: "url", env: "CODER_URL", kind: "string", value: "url", summary: "URL of the deployment" },
  {
    name: "token",
    env: "CODER_SESSION_TOKEN",
    kind: "string",
    value: "token",
    summary: "Session token, instead of the stored one",
  },
  {
    name: "global-config",
    env: "CODER_CONFIG_DIR",
    kind: "string",
    value: "folder",
    summary: "Folder where the login is stored",
  },
  {
    name: "header",
    env: "CODER_HEADER",
    kind: "list",
    value: "key=value",
    summary: "Extra header for every request, WebSocket and relay connection; may be given several times",
  },
  {
    name: "header-command",
    env: "CODER_HEADER_COMMAND",
    kind: "string",
    value: "command",
    summary: "Program that prints extra headers, one key=value a line",
  },
  {
    name: "ca-file",
    env: "CODER_CA_FILE",
    kind: "string",
    value: "file",
    summary: "PEM file of certificate authorities to trust besides the system's",
  },
  {
    name: "client-cert",
    env: "CODER_CLIENT_CERT",
    kind: "string",
    value: "file",
    summary: "PEM client certificate for mutual TLS",
  },
  {
    name: "client-key",
    env: "CODER_CLIENT_KEY",
    kind: "string",
    value: "file",
    summary: "PEM key of the client certificate",
  },
  {
    name: "disable-direct-connections",
    env: "CODER_DISABLE_DIRECT_CONNECTIONS",
    kind: "boolean",
    summary: "Use relays only, never a direct path",
  },
  {
    name: "region",
    env: "CODER_REGION",
    kind: "string",
    value: "relay",
    summary: "Relay to use, by id, code or name, instead of the one with the shortest route",
  },
  {
    name: "disable-network-telemetry",
    env: "CODER_DISABLE_NETWORK_TELEMETRY",
    kind: "boolean",
    summary: "Do not report connection quality to the deployment",
  },
  { name: "verbose", char: "v", env: "CODER_VERBOSE", kind: "boolean", summary: "Log what the network does to stderr" },
  {
    name: "no-version-warning",
    env: "CODER_NO_VERSION_WARNING",
    kind: "boolean",
    summary: "Do not warn when client and server versions differ",
  },
  {
    name: "no-feature-warning",
    env: "CODER_NO_FEATURE_WARNING",
    kind: "boolean",
    summary: "Accepted for compatibility",
    hidden: true,
  },
  {
    name: "use-keyring",
    env: "CODER_USE_KEYRING",
    kind: "boolean",
    summary: "Accepted for compatibility: the login is kept in files of its owner",
    hidden: true,
  },
  {
    name: "no-open",
    env: "CODER_NO_OPEN",
    kind: "boolean",
    summary: "Accepted for compatibility: no browser is opened",
    hidden: true,
  },
  { name: "debug-http", kind: "boolean", summary: "Accepted for compatibility: see --verbose", hidden: true },
  { name: "force-tty", env: "CODER_FORCE_TTY", kind: "boolean", summary: "Behave as on a terminal", hidden: true },
  {
    name: "debug-options",
    kind: "boolean",
    summary: "Print every option, its value and where it came from, then exit",
  },
];

export const HELP_FLAG: FlagSpec = { name: "help", char: "h", kind: "boolean", summary: "Show this help" };
