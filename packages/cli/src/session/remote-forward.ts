import { UsageError } from "../errors/usage-error.ts";

export type ForwardEnd =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** One `-R`: where the workspace listens, and where that leads on this machine. */
export interface RemoteForward {
  readonly remote: ForwardEnd;
  readonly local: ForwardEnd;
  /** The value as given, for messages. */
  readonly text: string;
}

/** `remote_port:local_host:local_port`, or absolute socket paths on either side. Throws UsageError. */
export function parseRemoteForward(text: string): RemoteForward {
  const sockets = /^(\/[^:]+|[0-9]+):(\/[^:]+)$/.exec(text);
  if (sockets !== null) {
    return { remote: endOf(sockets[1]!, text), local: { kind: "unix", path: sockets[2]! }, text };
  }
  const match = /^(\/[^:]+|[0-9]+):(\[[0-9a-fA-F:.]+\]|[^:[\]]+):([0-9]+)$/.exec(text);
  if (match === null) {
    throw new UsageError(`-R "${text}" is not remote_port:local_host:local_port, for example 8080:127.0.0.1:3000`);
  }
  return {
    remote: endOf(match[1]!, text),
    local: { kind: "tcp", host: match[2]!.replace(/^\[|\]$/g, ""), port: portOf(match[3]!, text) },
    text,
  };
}

function endOf(part: string, text: string): ForwardEnd {
  return part.startsWith("/")
    ? { kind: "unix", path: part }
    : { kind: "tcp", host: "localhost", port: portOf(part, text) };
}

function portOf(digits: string, text: string): number {
  const port = Number(digits);
  if (port < 1 || port > 65535) throw new UsageError(`-R "${text}" names port ${digits}; ports are 1 to 65535`);
  return port;
}
