/** The beginning of the list of workspaces, which came with the page and is shown until the stream brings the list. */
import type { FirstWorkspaces, WorkspaceListRow } from "coder-protocol/rest/dashboard";

type Rows = readonly WorkspaceListRow[];

let kept: FirstWorkspaces | undefined;
const counts = new WeakMap<Rows, number>();

export function keepFirstRows(first: FirstWorkspaces | undefined): void {
  kept = first;
}

/** Only the first call returns rows, because they grow old. */
export function takeFirstRows(): Rows | undefined {
  const first = kept;
  kept = undefined;
  if (first !== undefined) counts.set(first.rows, first.count);
  return first?.rows;
}

/** The length of the list that begins with these rows, or that they are. */
export function wholeCount(rows: Rows): number {
  return counts.get(rows) ?? rows.length;
}
