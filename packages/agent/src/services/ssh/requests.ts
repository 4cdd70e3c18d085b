/**
 * The requests that the agent serves, on a channel (RFC 4254 §6) and on the connection (RFC 4254 §7.1, OpenSSH's PROTOCOL),
 * parsed from the data that ssh2's codecs pass untyped. Undefined for unknown or malformed requests.
 */
import type { Argument } from "../../os/spawn.ts";
import type { WindowSize } from "../../os/terminal-device.ts";
import type { TerminalModes } from "../../os/termios.ts";
import { parseX11Request, type X11Request } from "./x11.ts";

export interface TerminalRequest {
  readonly term: Argument;
  readonly size: WindowSize;
  readonly modes: TerminalModes;
}

export type ChannelRequest =
  | { readonly type: "pty-req"; readonly terminal: TerminalRequest }
  | { readonly type: "env"; readonly name: string; readonly value: Argument }
  | { readonly type: "auth-agent-req@openssh.com" | "eow@openssh.com" | "shell" }
  | { readonly type: "x11-req"; readonly x11: X11Request }
  | { readonly type: "window-change"; readonly size: WindowSize }
  | { readonly type: "signal" | "subsystem"; readonly name: string }
  | { readonly type: "exec"; readonly command: Argument };

export type GlobalRequest =
  | { readonly name: "tcpip-forward" | "cancel-tcpip-forward"; readonly address: string; readonly port: number }
  | {
      readonly name: "streamlocal-forward@openssh.com" | "cancel-streamlocal-forward@openssh.com";
      readonly path: string;
    }
  | { readonly name: "no-more-sessions@openssh.com" };

export function parseChannelRequest(type: string, data: unknown): ChannelRequest | undefined {
  switch (type) {
    case "pty-req": {
      const terminal = parseTerminalRequest(data);
      return terminal && { type, terminal };
    }
    case "env": {
      const { name, value } = fieldsOf(data);
      return typeof name === "string" && isArgument(value) ? { type, name, value } : undefined;
    }
    case "auth-agent-req@openssh.com":
    case "eow@openssh.com":
    case "shell":
      return { type };
    case "x11-req": {
      const x11 = parseX11Request(data);
      return x11 && { type, x11 };
    }
    case "window-change": {
      const size = parseSize(data);
      return size && { type, size };
    }
    case "signal":
    case "subsystem":
      return typeof data === "string" ? { type, name: data } : undefined;
    case "exec":
      return isArgument(data) ? { type, command: data } : undefined;
    default:
      return undefined;
  }
}

export function parseGlobalRequest(name: string, data: unknown): GlobalRequest | undefined {
  switch (name) {
    case "tcpip-forward":
    case "cancel-tcpip-forward": {
      const { bindAddr: address, bindPort: port } = fieldsOf(data);
      return typeof address === "string" && typeof port === "number" ? { name, address, port } : undefined;
    }
    case "streamlocal-forward@openssh.com":
    case "cancel-streamlocal-forward@openssh.com": {
      const { socketPath: path } = fieldsOf(data);
      return typeof path === "string" ? { name, path } : undefined;
    }
    case "no-more-sessions@openssh.com":
      return { name };
    default:
      return undefined;
  }
}

function parseTerminalRequest(data: unknown): TerminalRequest | undefined {
  const { term, modes } = fieldsOf(data);
  const size = parseSize(data);
  if (!isArgument(term) || size === undefined) return undefined;
  const known = Object.entries(fieldsOf(modes)).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number",
  );
  return { term, size, modes: Object.fromEntries(known) };
}

function parseSize(data: unknown): WindowSize | undefined {
  const { cols: columns, rows, width: pixelWidth, height: pixelHeight } = fieldsOf(data);
  if (typeof columns !== "number" || typeof rows !== "number") return undefined;
  if (typeof pixelWidth !== "number" || typeof pixelHeight !== "number") return undefined;
  return { columns, rows, pixelWidth, pixelHeight };
}

/** Bytes are passed where they are not text. */
function isArgument(value: unknown): value is Argument {
  return typeof value === "string" || value instanceof Uint8Array;
}

function fieldsOf(data: unknown): Readonly<Record<string, unknown>> {
  return typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
}
