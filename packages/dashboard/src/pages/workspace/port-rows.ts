import type { PortShare } from "coder-protocol/rest/apps";
import type { OpenPorts } from "../../live/sources.ts";

export interface PortRow {
  readonly port: number;
  readonly program: string;
  readonly listening: boolean;
  readonly share: PortShare | undefined;
}

/** By port. A share stays although nothing listens behind it. */
export function portRows({ ports, shares }: OpenPorts): PortRow[] {
  const rows = new Map<number, PortRow>();
  for (const { port, process_name: program } of ports)
    rows.set(port, { port, program, listening: true, share: undefined });
  for (const share of shares) {
    const row = rows.get(share.port);
    rows.set(share.port, { port: share.port, program: row?.program ?? "", listening: row !== undefined, share });
  }
  return [...rows.values()].sort((one, other) => one.port - other.port);
}
