/** The units of the two services, the only place that they are written. Packages and `coder … install` take them from here. Pure. */
import { unitCommand, unitValue } from "./unit-text.ts";

export const SERVICES = ["agent", "server"] as const;
export type ServiceName = (typeof SERVICES)[number];

export interface UnitOptions {
  /** What stands before `agent` or `server`. */
  readonly program: readonly [string, ...string[]];
  readonly environmentFile: string;
  /** Of the system, or of the person who is logged in. */
  readonly scope: "system" | "user";
  /** The account that an agent of the system runs as: its people work as this one. */
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

/** The account of the server, which systemd makes up unless there is one of this name. */
export const SERVER_USER = "coder-server";

/**
 * Without any restriction: whatever is put here holds for every shell and program that people start in the workspace, and
 * sudo, containers and debuggers are what they come for.
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
    "# One program that takes too much memory ends by itself, not the whole workspace.",
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

/** State in /var/lib, unpacked native modules in /var/cache. The environment file may say otherwise. */
const PLACES = [
  `User=${SERVER_USER}`,
  "DynamicUser=yes",
  "StateDirectory=coder-server",
  "StateDirectoryMode=0700",
  "CacheDirectory=coder-server",
  "CacheDirectoryMode=0700",
  "Environment=HOME=%S/coder-server CODER_STATE_DIRECTORY=%S/coder-server XDG_CACHE_HOME=%C/coder-server",
];

/** MemoryDenyWriteExecute is not among them: JavaScript is compiled while it runs. */
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

/** In a user namespace of its own the capability would be worth nothing. */
const LOW_PORT = ["AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"];

function unit(scope: UnitOptions["scope"], description: string, page: string, service: readonly string[]): string {
  // A service of a person's own manager cannot wait for one of the system's.
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
