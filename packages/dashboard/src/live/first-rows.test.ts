import type { WorkspaceListRow } from "coder-protocol/rest/dashboard";
import { expect, test } from "vitest";
import { keepFirstRows, takeFirstRows, wholeCount } from "./first-rows.ts";

const row = (name: string): WorkspaceListRow => ({
  id: name,
  name,
  owner_name: "ada",
  status: "running",
  last_used_at: "2026-01-01T00:00:00Z",
  agents: [],
});

test("the rows of the page are used once, and know the length of the whole list", () => {
  expect(takeFirstRows()).toBeUndefined();
  const rows = [row("a"), row("b")];
  keepFirstRows({ rows, count: 1_000 });
  expect(takeFirstRows()).toBe(rows);
  expect(takeFirstRows()).toBeUndefined();
  expect(wholeCount(rows)).toBe(1_000);
  expect(wholeCount([row("a")])).toBe(1);
});
