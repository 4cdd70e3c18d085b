/** The settings of a workspace proxy in one table: its own, and those that it shares with the server. */
import { type ServerFlag, serverFlags } from "../config/flags.ts";

/** In the order in which help lists them; a text replaces the server's description. */
const SHARED: Readonly<Record<string, string | undefined>> = {
  "access-url": "URL under which clients, agents and the primary reach this proxy; it has no path",
  "wildcard-access-url":
    "Host names of web apps at this proxy, such as *.sydney.example.com; empty: it serves no web apps",
  "disable-path-apps":
    "Serve no apps below /@owner/workspace/apps/ at the access URL. Default: on with --wildcard-access-url, off without",
  "allowed-hosts":
    "Further host names this proxy answers to besides the access URL's; *.example.com matches subdomains",
  "http-address": undefined,
  "tls-enable": undefined,
  "tls-address": undefined,
  "tls-cert-file": undefined,
  "tls-key-file": undefined,
  "tls-min-version": undefined,
  "strict-transport-security": undefined,
  "proxy-trusted-headers": undefined,
  "proxy-trusted-origins": undefined,
  "derp-server-enable": "Run a relay, which clients near the proxy use",
  "derp-server-relay-url": "URL under which other processes of the same proxy reach this one's relay",
  "stun-address": "UDP address of the proxy's own STUN server, announced with its relay; disable switches it off",
  "prometheus-enable": undefined,
  "prometheus-address": undefined,
  "log-format": undefined,
  "log-level": undefined,
  verbose: undefined,
};

const OWN = [
  {
    name: "primary-access-url",
    env: "CODER_PRIMARY_ACCESS_URL",
    type: "string",
    default: "",
    description: "Access URL of the deployment that the proxy belongs to",
    group: "Networking",
  },
  {
    name: "proxy-session-token",
    env: "CODER_PROXY_SESSION_TOKEN",
    type: "string",
    default: "",
    description:
      "Token that an owner of the deployment got for this proxy. Other users of the machine may see flags: prefer the variable or proxy-session-token-file",
    group: "Networking",
  },
  {
    name: "proxy-session-token-file",
    env: "CODER_PROXY_SESSION_TOKEN_FILE",
    type: "string",
    default: "",
    description:
      "File that holds the token; read again for every request, so a token can be replaced without a restart",
    group: "Networking",
  },
  {
    name: "derp-only",
    env: "CODER_PROXY_DERP_ONLY",
    type: "boolean",
    default: "false",
    description: "Serve a relay only, and no terminals and web apps of browsers",
    group: "Networking",
  },
] as const satisfies readonly ServerFlag[];

export const PROXY_FLAGS: readonly ServerFlag[] = [
  ...OWN,
  ...Object.entries(SHARED).map(([name, description]) => {
    const flag = serverFlags.find((candidate) => candidate.name === name);
    if (flag === undefined) throw new TypeError(`the server has no flag ${name}`);
    return description === undefined ? flag : { ...flag, description };
  }),
];
