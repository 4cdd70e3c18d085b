import { expect, test } from "vitest";
import { findingsOfSection } from "./health-findings.ts";

test("a code appears once, beside its text, and nothing is repeated", () => {
  const found = findingsOfSection({
    error: "EDERP02: no relay works",
    warnings: [
      { code: "EDERP02", message: "EDERP02: relay 1a is away" },
      { code: "EDERP02", message: "relay 1a is away" },
      { code: "ESTUN01", message: "EDERP02: of another code" },
    ],
  });
  expect(found).toEqual([
    { code: "EDERP02", message: "no relay works", isError: true },
    { code: "EDERP02", message: "relay 1a is away", isError: false },
    { code: "ESTUN01", message: "EDERP02: of another code", isError: false },
  ]);
  expect(findingsOfSection({ error: "no code: here", warnings: [] })).toEqual([
    { code: "", message: "no code: here", isError: true },
  ]);
});
