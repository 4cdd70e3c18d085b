import type { ApiKeyWithOwner } from "coder-protocol/rest/api-keys";
import { ago, type Column } from "./output.ts";

export const TOKEN_COLUMNS: readonly Column<ApiKeyWithOwner>[] = [
  { name: "id", standard: true, value: (row) => row.id },
  { name: "name", standard: true, value: (row) => row.token_name },
  { name: "last used", standard: true, value: (row) => ago(row.last_used, Date.now()) },
  { name: "expires at", standard: true, value: (row) => row.expires_at },
  { name: "created at", standard: true, value: (row) => row.created_at },
  { name: "owner", value: (row) => row.username },
];
