import type { AgentApp } from "coder-protocol/rest/workspace-apps";
import type { Column } from "./output.ts";

export interface ListedApp extends AgentApp {
  readonly address: string;
}

export const APP_COLUMNS: readonly Column<ListedApp>[] = [
  { name: "app", standard: true, value: (row) => row.slug },
  { name: "name", value: (row) => row.display_name },
  { name: "agent", standard: true, value: (row) => row.agent_name },
  { name: "program", standard: true, value: (row) => row.url || row.command },
  { name: "health", standard: true, value: (row) => (row.health === "disabled" ? "" : row.health) },
  { name: "level", standard: true, value: (row) => levelText(row) },
  { name: "declared by", value: (row) => row.source },
  { name: "address", standard: true, value: (row) => row.address },
];

function levelText({ sharing_level: level, requested_level: requested }: AgentApp): string {
  return requested === undefined ? level : `${level} (requests ${requested})`;
}
