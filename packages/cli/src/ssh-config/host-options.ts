/** The options of our hosts: the user's first, then the deployment's, then ours. OpenSSH uses the first that it finds. */
import { UsageError } from "../errors/usage-error.ts";

export interface HostOption {
  readonly key: string;
  /** An empty value leaves the option out, whatever else sets it. */
  readonly value: string;
}

/**
 * A connection that waits for a workspace must not time out. The tunnel has authenticated the workspace, so a host key adds
 * nothing.
 */
const DEFAULTS: readonly HostOption[] = [
  { key: "ConnectTimeout", value: "0" },
  { key: "StrictHostKeyChecking", value: "no" },
  { key: "UserKnownHostsFile", value: "/dev/null" },
  { key: "LogLevel", value: "ERROR" },
];

/**
 * Options that a deployment may set on its users' machines. None of them runs a command, reads or writes a file, opens a port or
 * lends out a key.
 */
const FROM_DEPLOYMENT: ReadonlySet<string> = new Set(
  [
    "AddressFamily",
    "BatchMode",
    "Ciphers",
    "Compression",
    "ConnectionAttempts",
    "ConnectTimeout",
    "HostKeyAlgorithms",
    "IPQoS",
    "KexAlgorithms",
    "LogLevel",
    "MACs",
    "PreferredAuthentications",
    "PubkeyAuthentication",
    "RekeyLimit",
    "RequestTTY",
    "ServerAliveCountMax",
    "ServerAliveInterval",
    "SetEnv",
    "StrictHostKeyChecking",
    "TCPKeepAlive",
    "UpdateHostKeys",
    "User",
  ].map((key) => key.toLowerCase()),
);
/** Options that would begin another stanza or change which hosts this one applies to. */
const STRUCTURAL = /^(host|match|include|proxycommand|proxyjump)$/i;

/** Parses `Key=value` or `Key value`. Throws UsageError. */
export function parseHostOption(text: string): HostOption {
  const match = /^\s*([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+|$)(.*)$/.exec(text);
  if (match === null || /[\r\n\0]/.test(text))
    throw new UsageError(
      `--ssh-option ${JSON.stringify(text)} is not an SSH option: write Key=value, or Key= to leave one out`,
    );
  const [, key = "", value = ""] = match;
  if (STRUCTURAL.test(key)) throw new UsageError(`--ssh-option cannot set ${key}: that is what this command writes`);
  return { key, value: value.trim() };
}

export interface MergedOptions {
  readonly options: readonly HostOption[];
  /** Keys that the deployment sent but may not set. */
  readonly refused: readonly string[];
}

/** @param deployment As the server sent it; unchecked. */
export function mergeHostOptions(
  own: readonly HostOption[],
  deployment: Readonly<Record<string, unknown>>,
): MergedOptions {
  const refused: string[] = [];
  const sent: HostOption[] = [];
  for (const [key, value] of Object.entries(deployment)) {
    const allowed = FROM_DEPLOYMENT.has(key.toLowerCase()) && typeof value === "string" && /^[ -~]*$/.test(value);
    if (allowed) sent.push({ key, value: value.trim() });
    else refused.push(key.replace(/[^A-Za-z0-9]/g, "?").slice(0, 64));
  }
  const merged: HostOption[] = [];
  for (const level of [own, sent, DEFAULTS]) {
    const settled = new Set(merged.map(({ key }) => key.toLowerCase()));
    // One source may give a key several times: SetEnv and similar options add up.
    for (const option of level) if (!settled.has(option.key.toLowerCase())) merged.push(option);
  }
  return { options: merged.filter(({ value }) => value !== ""), refused };
}
