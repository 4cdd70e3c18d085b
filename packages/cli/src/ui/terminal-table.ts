import type { AgentTerminal } from "coder-protocol/rest/terminals";
import { ago, type Column } from "./output.ts";

/** Enough of a UUID to identify it. */
const SHORT_ID = 8;

export const TERMINAL_COLUMNS: readonly Column<AgentTerminal>[] = [
  { name: "terminal", standard: true, value: (row) => row.id.slice(0, SHORT_ID) },
  { name: "program", standard: true, value: (row) => row.foreground || row.command || "shell" },
  { name: "title", standard: true, value: (row) => row.title },
  { name: "owner", standard: true, value: (row) => row.owner },
  { name: "started", standard: true, value: (row) => ago(row.started_at, Date.now()) },
  { name: "viewers", standard: true, value: (row) => String(row.viewers) },
  { name: "kept until", value: (row) => row.kept_until ?? "" },
  { name: "command", value: (row) => row.command },
  { name: "size", value: (row) => `${row.cols}x${row.rows}` },
  { name: "id", value: (row) => row.id },
];
