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

/** A socket's path, or `[address:]port`. */
const REMOTE = String.raw`(\/[^:]+|(?:\[[0-9a-fA-F:.]*\]:|[^:[\]/]*:)?[0-9]+)`;
const TO_SOCKET = new RegExp(String.raw`^${REMOTE}:(\/[^:]+)$`);
const TO_PORT = new RegExp(String.raw`^${REMOTE}:(\[[0-9a-fA-F:.]+\]|[^:[\]/]+):([0-9]+)$`);

/**
 * `[address:]remote_port:local_host:local_port`, or absolute socket paths on either side, as in OpenSSH. The workspace chooses a
 * free port for 0. Throws UsageError.
 */
export function parseRemoteForward(text: string): RemoteForward {
  const sockets = TO_SOCKET.exec(text);
  if (sockets !== null) {
    return { remote: endOf(sockets[1]!, text), local: { kind: "unix", path: sockets[2]! }, text };
  }
  const match = TO_PORT.exec(text);
  if (match === null) {
    throw new UsageError(
      `-R "${text}" is not [address:]remote_port:local_host:local_port, for example 8080:127.0.0.1:3000`,
    );
  }
  return {
    remote: endOf(match[1]!, text),
    local: { kind: "tcp", host: unbracketed(match[2]!), port: portOf(match[3]!, text, 1) },
    text,
  };
}

function endOf(part: string, text: string): ForwardEnd {
  if (part.startsWith("/")) return { kind: "unix", path: part };
  const colon = part.lastIndexOf(":");
  const address = colon < 0 ? "localhost" : unbracketed(part.slice(0, colon));
  // As in OpenSSH, a star means every address, which the protocol writes as an empty one.
  return { kind: "tcp", host: address === "*" ? "" : address, port: portOf(part.slice(colon + 1), text, 0) };
}

function unbracketed(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}

function portOf(digits: string, text: string, lowest: number): number {
  const port = Number(digits);
  if (port < lowest || port > 65535) throw new UsageError(`-R "${text}" names port ${digits}; ports are 1 to 65535`);
  return port;
}
