import { expect, test } from "vitest";
import { TerminalOwners } from "./terminal-owners.ts";

test("for each agent, an id belongs to its first user", () => {
  const owners = new TerminalOwners();
  expect(owners.claim("agent", "id", "ann")).toBe("new");
  expect(owners.claim("agent", "id", "bob")).toBe("other");
  expect(owners.claim("agent", "id", "ann")).toBe("own");
  expect(owners.claim("other", "id", "bob")).toBe("new");
});

test("the entry that was used longest ago is forgotten first", () => {
  const owners = new TerminalOwners(2);
  for (const id of ["1", "2", "1", "3"]) owners.claim("agent", id, "ann");
  expect(["1", "3"].map((id) => owners.claim("agent", id, "bob"))).toEqual(["other", "other"]);
  expect(owners.claim("agent", "2", "bob")).toBe("new");
});
