import { HIGHEST_PORT, LOWEST_APP_PORT } from "coder-protocol/app-addresses";
import type { PortKind } from "coder-protocol/rest/agents";
import type { PortShare } from "coder-protocol/rest/apps";
import type { OpenPorts } from "../../live/sources.ts";

export interface PortRow {
  readonly port: number;
  readonly program: string;
  readonly listening: boolean;
  /** What the program speaks; undefined where it was not asked. */
  readonly kind: PortKind | undefined;
  readonly share: PortShare | undefined;
}

/** By port. A share stays although nothing listens behind it. */
export function portRows({ ports, shares }: Pick<OpenPorts, "ports" | "shares">): PortRow[] {
  const rows = new Map<number, PortRow>();
  for (const { port, process_name: program, kind } of ports)
    rows.set(port, { port, program, listening: true, kind, share: undefined });
  for (const share of shares) rows.set(share.port, { ...(rows.get(share.port) ?? closedRow(share.port)), share });
  return [...rows.values()].sort((one, other) => one.port - other.port);
}

/** Of a port where nothing listens. */
export function closedRow(port: number): PortRow {
  return { port, program: "", listening: false, kind: undefined, share: undefined };
}

/**
 * Where a port is opened.
 * @param address Of any port, with `{{port}}` for its number; "" where ports have no addresses.
 */
export function portHref(address: string, { port, kind, share }: PortRow): string | undefined {
  if (address === "") return undefined;
  const secure = kind === "https" || (kind !== "http" && share?.protocol === "https");
  return `${address.replace("{{port}}", `${port}${secure ? "s" : ""}`)}/`;
}

/** What keeps visitors of a shared port from its program, in words; undefined where nothing is known to. */
export function shareProblem({ listening, kind, share }: PortRow): string | undefined {
  if (share === undefined) return undefined;
  if (!listening) return "Nothing listens there";
  if (kind === "other") return "The program speaks neither http nor https";
  return kind === undefined || kind === share.protocol ? undefined : `Shared as ${share.protocol}; it speaks ${kind}`;
}

/** A port as a person types it; undefined for anything that is not served. */
export function parsePort(text: string): number | undefined {
  const port = /^[1-9][0-9]{0,4}$/.test(text.trim()) ? Number(text) : 0;
  return port >= LOWEST_APP_PORT && port <= HIGHEST_PORT ? port : undefined;
}
