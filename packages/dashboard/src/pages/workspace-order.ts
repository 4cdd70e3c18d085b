import type { WorkspaceListRow } from "coder-protocol/rest/dashboard";

export type Order = "name" | "used";

/**
 * By name as the server sorts, so that the rows that came with the page stay where they are. Names are ASCII, so that comparing
 * code points gives the order of the letters, many times faster than the rules of a language.
 */
export function sorted(rows: readonly WorkspaceListRow[], order: Order): WorkspaceListRow[] {
  const keyed = rows.map((row) => ({
    row,
    used: order === "used" ? Date.parse(row.last_used_at) : 0,
    name: row.name.toLowerCase(),
  }));
  keyed.sort(
    (one, other) => other.used - one.used || compared(one.name, other.name) || compared(one.row.id, other.row.id),
  );
  return keyed.map(({ row }) => row);
}

function compared(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
