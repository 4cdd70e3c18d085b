import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import type { Column } from "./output.ts";

export const PROXY_COLUMNS: readonly Column<WorkspaceProxy>[] = [
  { name: "id", value: (row) => row.id },
  { name: "name", standard: true, value: (row) => row.name },
  { name: "display name", value: (row) => row.display_name },
  { name: "url", standard: true, value: (row) => row.path_app_url },
  { name: "wildcard", value: (row) => row.wildcard_hostname },
  { name: "status", standard: true, value: ({ status }) => status.status },
  {
    name: "status report",
    standard: true,
    value: ({ status }) => [...status.report.errors, ...status.report.warnings].join("; "),
  },
  { name: "relay", value: (row) => (row.derp_only ? "only" : row.derp_enabled ? "yes" : "no") },
  { name: "version", value: (row) => row.version },
  { name: "checked at", value: ({ status }) => status.checked_at },
  { name: "created at", value: (row) => row.created_at },
];
