import type { Column } from "./output.ts";

/** A port of an agent, as `--output json` prints it. */
export interface ListedPort {
  readonly port: number;
  readonly process_name: string;
  readonly listening: boolean;
  /** "http", "https" or "other"; null where the program was not probed. */
  readonly kind: string | null;
  /** Null when it is not shared. */
  readonly share_level: string | null;
  /** Narrower than `share_level` if an administrator has since lowered the widest allowed level. */
  readonly effective_level: string | null;
  readonly protocol: string | null;
  readonly label: string;
  readonly expires_at: string | null;
  /** "" where ports have no addresses. */
  readonly address: string;
}

export const PORT_COLUMNS: readonly Column<ListedPort>[] = [
  { name: "port", standard: true, value: (row) => String(row.port) },
  { name: "program", standard: true, value: (row) => (row.listening ? row.process_name : "(none listens)") },
  { name: "speaks", standard: true, value: (row) => kindText(row) },
  { name: "level", standard: true, value: (row) => levelText(row) },
  { name: "until", standard: true, value: (row) => row.expires_at ?? "" },
  { name: "label", value: (row) => row.label },
  { name: "address", standard: true, value: (row) => row.address },
];

function kindText({ kind, protocol }: ListedPort): string {
  if (kind === null) return "";
  const differs = protocol !== null && kind !== protocol;
  return `${kind === "other" ? "neither http nor https" : kind}${differs ? ` (shared as ${protocol})` : ""}`;
}

function levelText({ share_level: chosen, effective_level: effective }: ListedPort): string {
  if (chosen === null || effective === null) return "owner";
  return effective === chosen ? chosen : `${effective} (lowered from ${chosen})`;
}
