import { expect, test } from "vitest";
import { knownPath } from "./known-path.ts";

test("a client that reports no path has that of all the agent's peers, where they agree", () => {
  const silent = { path: "unknown" } as const;
  expect(knownPath(silent, { direct: 2, relayed: 0, unknown: 0 })).toBe("direct");
  expect(knownPath(silent, { direct: 0, relayed: 1, unknown: 0 })).toBe("relayed");
  expect(knownPath(silent, { direct: 1, relayed: 1, unknown: 0 })).toBe("unknown");
  expect(knownPath(silent, { direct: 1, relayed: 0, unknown: 1 })).toBe("unknown");
  expect(knownPath(silent, { direct: 0, relayed: 0, unknown: 0 })).toBe("unknown");
  expect(knownPath({ path: "relayed" }, { direct: 2, relayed: 0, unknown: 0 })).toBe("relayed");
});
