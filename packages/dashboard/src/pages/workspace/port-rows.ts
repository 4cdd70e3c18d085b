import { HIGHEST_PORT, LOWEST_APP_PORT } from "coder-protocol/app-addresses";
import type { PortKind } from "coder-protocol/rest/agents";
import type { PortShare } from "coder-protocol/rest/apps";
import type { OpenPorts } from "../../live/sources.ts";

export interface PortRow {
  readonly port: number;
  readonly program: string;
  readonly listening: boolean;
  /** The program's protocol; undefined where it was not probed. */
  readonly kind: PortKind | undefined;
  readonly share: PortShare | undefined;
}

/** Rows in the order of ports. A share is listed even if nothing listens on its port. */
export function portRows({ ports, shares }: Pick<OpenPorts, "ports" | "shares">): PortRow[] {
  const rows = new Map<number, PortRow>();
  for (const { port, process_name: program, kind } of ports)
    rows.set(port, { port, program, listening: true, kind, share: undefined });
  for (const share of shares) rows.set(share.port, { ...(rows.get(share.port) ?? closedRow(share.port)), share });
  return [...rows.values()].sort((one, other) => one.port - other.port);
}

/** The row of a port on which nothing listens. */
export function closedRow(port: number): PortRow {
  return { port, program: "", listening: false, kind: undefined, share: undefined };
}

/**
 * The address at which a port opens.
 * @param address Address of any port, with `{{port}}` for its number; "" where ports have no addresses.
 */
export function portHref(address: string, { port, kind, share }: PortRow): string | undefined {
  if (address === "") return undefined;
  const secure = kind === "https" || (kind !== "http" && share?.protocol === "https");
  return `${address.replace("{{port}}", `${port}${secure ? "s" : ""}`)}/`;
}

/** What prevents visitors of a shared port from reaching its program, in words; undefined when nothing known does. */
export function shareProblem({ listening, kind, share }: PortRow): string | undefined {
  if (share === undefined) return undefined;
  if (!listening) return "Nothing listens there";
  if (kind === "other") return "The program speaks neither http nor https";
  return kind === undefined || kind === share.protocol ? undefined : `Shared as ${share.protocol}; it speaks ${kind}`;
}

/** Parses a typed port; undefined for anything that is not served. */
export function parsePort(text: string): number | undefined {
  const port = /^[1-9][0-9]{0,4}$/.test(text.trim()) ? Number(text) : 0;
  return port >= LOWEST_APP_PORT && port <= HIGHEST_PORT ? port : undefined;
}
