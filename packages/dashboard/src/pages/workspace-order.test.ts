import type { WorkspaceListRow } from "coder-protocol/rest/dashboard";
import { expect, test } from "vitest";
import { sorted } from "./workspace-order.ts";

const row = (name: string, used: number, id = name): WorkspaceListRow => ({
  id,
  name,
  owner_name: "ada",
  status: "running",
  last_used_at: new Date(used).toISOString(),
  agents: [],
});
const names = (rows: readonly WorkspaceListRow[]) => rows.map(({ name }) => name);

test("names are compared without case, hyphens before digits before letters", () => {
  const rows = ["web", "App-b", "app1", "appb", "app-a", "Zoo"].map((name) => row(name, 0));
  expect(names(sorted(rows, "name"))).toEqual(["app-a", "App-b", "app1", "appb", "web", "Zoo"]);
});

test("equal names of different owners are ordered by id, and the latest use comes first", () => {
  const [first, second] = [row("same", 1, "1"), row("same", 1, "2")];
  for (const order of ["name", "used"] as const) expect(sorted([second, first], order)).toEqual([first, second]);
  expect(names(sorted([row("a", 1), row("b", 3), row("c", 2)], "used"))).toEqual(["b", "c", "a"]);
});
