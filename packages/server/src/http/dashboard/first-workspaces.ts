import type { FirstWorkspaces } from "coder-protocol/rest/dashboard";
import type { UserRow } from "../../db/schema.ts";
import type { Tables } from "../../db/store.ts";
import { type ListTables, type NetworkOf, readRows, withPaths } from "../live/list-rows.ts";

/** More rows than most windows show; the stream brings the rest. */
export const FIRST_ROWS = 30;

export interface FirstWorkspacesDeps {
  readonly tables: ListTables & Pick<Tables, "workspaces">;
  readonly network: NetworkOf;
  readonly now: () => number;
}

/** Whether the page at this address begins with the list of all workspaces. */
export function showsWorkspaces({ pathname, searchParams }: URL): boolean {
  return /^\/(?:workspaces\/?)?$/.test(pathname) && !searchParams.has("filter");
}

/** The beginning of the user's list, with which its page comes, so that the first paint waits for no further answer. */
export async function firstWorkspaces(
  { tables, network, now }: FirstWorkspacesDeps,
  user: UserRow,
): Promise<FirstWorkspaces> {
  const owner = user.role === "owner" ? undefined : user.id;
  const workspaces = await tables.workspaces.firstByName(owner, FIRST_ROWS);
  const count = workspaces.length < FIRST_ROWS ? workspaces.length : await tables.workspaces.countOf(owner);
  const rows = await readRows(tables, workspaces, now());
  return { rows: rows.map((row) => withPaths(row, network)), count };
}
