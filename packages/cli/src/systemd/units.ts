/** The units of both services, defined only here: packages and `coder … install` use them. Pure. */
import { unitCommand, unitValue } from "./unit-text.ts";

export const SERVICES = ["agent", "server"] as const;
export type ServiceName = (typeof SERVICES)[number];

export interface UnitOptions {
  /** The words before `agent` or `server`. */
  readonly program: readonly [string, ...string[]];
  readonly environmentFile: string;
  /** Whether it is a service of the system or of the logged-in user. */
  readonly scope: "system" | "user";
  /** The account under which an agent of the system runs, and so its users' programs. */
  readonly runAs?: string;
  /** The server listens on a port below 1024. */
  readonly lowPort?: boolean;
}

export function unitName(service: ServiceName): string {
  return `coder-${service}.service`;
}

export function unitText(service: ServiceName, options: UnitOptions): string {
  return service === "agent" ? agentUnit(options) : serverUnit(options);
}

/** The account of the server. systemd allocates it dynamically unless an account of this name exists. */
export const SERVER_USER = "coder-server";

/**
 * Without any sandboxing: it would apply to every shell and program that users start in the workspace, and they need sudo,
 * containers and debuggers.
 */
function agentUnit({ program, environmentFile, scope, runAs = "root" }: UnitOptions): string {
  return unit(scope, "Agent of a coder workspace", "coder-agent", [
    "Type=exec",
    `EnvironmentFile=${unitValue(environmentFile)}`,
    `ExecStart=${unitCommand([...program, "agent"])}`,
    ...(scope === "system" ? [`User=${unitValue(runAs)}`, "WorkingDirectory=~"] : []),
    "Restart=always",
    "RestartSec=5",
    "KillMode=mixed",
    "# A program that takes too much memory is killed alone, not the whole workspace.",
    "OOMPolicy=continue",
    "# No restrictions: people's shells would inherit them.",
  ]);
}

function serverUnit({ program, environmentFile, scope, lowPort = false }: UnitOptions): string {
  return unit(scope, "Control plane of coder", "coder-server", [
    "Type=exec",
    ...(scope === "system" ? PLACES : []),
    `EnvironmentFile=-${unitValue(environmentFile)}`,
    `ExecStart=${unitCommand([...program, "server"])}`,
    "# Certificates are read again; connections stay.",
    'ExecReload=/bin/sh -c "kill -HUP $MAINPID"',
    "Restart=on-failure",
    "RestartSec=2",
    "KillMode=mixed",
    "TimeoutStopSec=30",
    "UMask=0077",
    "NoNewPrivileges=yes",
    ...(scope === "system" ? [...SANDBOX, ...(lowPort ? LOW_PORT : NO_CAPABILITIES)] : []),
  ]);
}

/** State goes to /var/lib, unpacked native modules to /var/cache. The environment file may override this. */
const PLACES = [
  `User=${SERVER_USER}`,
  "DynamicUser=yes",
  "StateDirectory=coder-server",
  "StateDirectoryMode=0700",
  "CacheDirectory=coder-server",
  "CacheDirectoryMode=0700",
  "Environment=HOME=%S/coder-server CODER_STATE_DIRECTORY=%S/coder-server XDG_CACHE_HOME=%C/coder-server",
];

/** MemoryDenyWriteExecute is missing because JavaScript is compiled at run time. */
const SANDBOX = [
  "ProtectSystem=strict",
  "ProtectHome=yes",
  "PrivateTmp=yes",
  "PrivateDevices=yes",
  "ProtectProc=invisible",
  "ProcSubset=pid",
  "ProtectClock=yes",
  "ProtectControlGroups=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "LockPersonality=yes",
  "RemoveIPC=yes",
  "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "SystemCallArchitectures=native",
  "SystemCallFilter=@system-service",
  "SystemCallFilter=~@privileged @resources",
  "SystemCallErrorNumber=EPERM",
];

const NO_CAPABILITIES = ["PrivateUsers=yes", "CapabilityBoundingSet="];

/** In a user namespace of its own the capability would have no effect. */
const LOW_PORT = ["AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"];

function unit(scope: UnitOptions["scope"], description: string, page: string, service: readonly string[]): string {
  // A service of a user's manager cannot wait for one of the system's.
  const network = scope === "system" ? ["Wants=network-online.target", "After=network-online.target"] : [];
  return [
    "[Unit]",
    `Description=${description}`,
    `Documentation=man:${page}(1)`,
    ...network,
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    ...service,
    "",
    "[Install]",
    `WantedBy=${scope === "system" ? "multi-user.target" : "default.target"}`,
    "",
  ].join("\n");
}
