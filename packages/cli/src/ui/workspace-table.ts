import type { Workspace } from "coder-protocol/rest/workspaces";
import { ago, type Column } from "./output.ts";

export const WORKSPACE_COLUMNS: readonly Column<Workspace>[] = [
  { name: "workspace", standard: true, value: (row) => `${row.owner_name}/${row.name}` },
  { name: "template", standard: true, value: (row) => row.template_name },
  { name: "status", standard: true, value: workspaceStatusText },
  { name: "healthy", standard: true, value: (row) => String(row.health.healthy) },
  { name: "last built", standard: true, value: (row) => ago(row.latest_build.created_at, Date.now()) },
  { name: "current version", value: (row) => row.latest_build.template_version_name },
  { name: "outdated", standard: true, value: (row) => String(row.outdated) },
  { name: "starts at", value: (row) => row.autostart_schedule ?? "" },
  {
    name: "stops after",
    value: (row) => (row.ttl_ms === undefined || row.ttl_ms === null ? "" : `${row.ttl_ms / 3_600_000}h`),
  },
  { name: "id", value: (row) => row.id },
];

export function workspaceStatusText(row: Workspace): string {
  const { status } = row.latest_build;
  if (status !== "running") return status.charAt(0).toUpperCase() + status.slice(1);
  return row.health.healthy ? "Started" : "Unhealthy";
}

export const NO_WORKSPACES = "No workspaces found. Register one: coder external-workspaces create <name>";
