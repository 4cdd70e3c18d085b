import { expect, test } from "vitest";
import { TerminalOwners } from "./terminal-owners.ts";

test("an id belongs to its first user, for each agent", () => {
  const owners = new TerminalOwners();
  expect(owners.claim("agent", "id", "ann")).toBe("new");
  expect(owners.claim("agent", "id", "bob")).toBe("other");
  expect(owners.claim("agent", "id", "ann")).toBe("own");
  expect(owners.claim("other", "id", "bob")).toBe("new");
});

test("what is forgotten is what was used longest ago", () => {
  const owners = new TerminalOwners(2);
  for (const id of ["1", "2", "1", "3"]) owners.claim("agent", id, "ann");
  expect(["1", "3"].map((id) => owners.claim("agent", id, "bob"))).toEqual(["other", "other"]);
  expect(owners.claim("agent", "2", "bob")).toBe("new");
});
