import { isIP } from "node:net";
import { UsageError } from "../errors/usage-error.ts";

/** One `-L`: where this machine listens, and what the workspace connects it to. */
export interface LocalForward {
  /** Address to listen on; absent: loopback. */
  readonly bind?: string;
  readonly port: number;
  readonly target:
    | { readonly kind: "tcp"; readonly host: string; readonly port: number }
    | { readonly kind: "unix"; readonly path: string };
  /** The value as given, for messages. */
  readonly text: string;
}

/** One `-D`: a SOCKS server on this machine. */
export interface DynamicForward {
  readonly bind?: string;
  readonly port: number;
}

/** `[address:]port:host:port` or `[address:]port:/socket`, as in OpenSSH. Throws UsageError. */
export function parseLocalForward(text: string): LocalForward {
  const usage = (): never => {
    throw new UsageError(
      `-L "${text}" is not [address:]port:host:port or [address:]port:/socket, for example 5432:db:5432`,
    );
  };
  const socket = /^(.*?):(\/[^\0\r\n]+)$/.exec(text);
  if (socket !== null) {
    const parts = splitColons(socket[1]!) ?? usage();
    if (parts.length > 2) usage();
    return { ...listenOf(parts, text, "-L"), target: { kind: "unix", path: socket[2]! }, text };
  }
  const parts = splitColons(text) ?? usage();
  if (parts.length !== 3 && parts.length !== 4) usage();
  const [host = "", port = ""] = parts.slice(-2);
  if (host === "" || /[\s\0]/.test(host)) usage();
  return {
    ...listenOf(parts.slice(0, -2), text, "-L"),
    target: { kind: "tcp", host, port: portOf(port, text, "-L") },
    text,
  };
}

/** `[address:]port`. Throws UsageError. */
export function parseDynamicForward(text: string): DynamicForward {
  const parts = splitColons(text);
  if (parts === undefined || parts.length > 2)
    throw new UsageError(`-D "${text}" is not [address:]port, for example 1080`);
  return listenOf(parts, text, "-D");
}

function listenOf(parts: readonly string[], text: string, flag: string): { bind?: string; port: number } {
  const port = portOf(parts.at(-1) ?? "", text, flag);
  const bind = parts.length < 2 ? undefined : parts[0]!;
  if (bind === undefined || bind === "localhost") return { port };
  // As in OpenSSH, an empty address or a star means every address.
  if (bind === "" || bind === "*") return { bind: "::", port };
  if (isIP(bind) === 0) throw new UsageError(`${flag} "${text}": "${bind}" is no address of this machine`);
  return { bind, port };
}

function portOf(digits: string, text: string, flag: string): number {
  if (!/^[0-9]{1,5}$/.test(digits)) throw new UsageError(`${flag} "${text}": "${digits}" is no port`);
  const port = Number(digits);
  if (port < 1 || port > 65535) throw new UsageError(`${flag} "${text}" names port ${digits}; ports are 1 to 65535`);
  return port;
}

/** Splits at colons outside brackets and removes the brackets; undefined when they do not match. */
function splitColons(text: string): string[] | undefined {
  const parts: string[] = [];
  for (const match of text.matchAll(/(?:\[([0-9A-Fa-f:.%]*)\]|([^:[\]]*))(:|$)/gy)) {
    parts.push(match[1] ?? match[2] ?? "");
    if (match[3] === "") return match.index + match[0].length === text.length ? parts : undefined;
  }
  return undefined;
}
