import { expect, test } from "vitest";
import { type ProxyFacts, reportOf } from "./report.ts";

const well: ProxyFacts = {
  version: "v2.26.0+network.0.1.0",
  primaryVersion: "v2.26.3",
  registered: true,
  failure: undefined,
  refusedForMs: undefined,
  admission: "listed",
  streamProblem: undefined,
  siblings: { all: 3, failed: 0 },
  appKeysProblem: undefined,
  clockAheadMs: 2_000,
};

test("a healthy proxy has nothing to report, nor has one that has just started", () => {
  expect(reportOf(well)).toEqual({ errors: [], warnings: [] });
  const beginning = { ...well, registered: false, admission: "closed", primaryVersion: undefined } as const;
  expect(reportOf(beginning)).toEqual({ errors: [], warnings: [] });
});

test.each<[string, Partial<ProxyFacts>, "errors" | "warnings", string]>([
  [
    "a primary never reached",
    { registered: false, failure: { why: "no answer", forMs: 9_000 } },
    "errors",
    "no answer",
  ],
  ["a clock that is ahead", { clockAheadMs: 45_000 }, "warnings", "clock is 45 s ahead of that of the primary"],
  ["a clock that is behind", { clockAheadMs: -3_600_000 }, "warnings", "clock is 3600 s behind that of the primary"],
  ["a primary that is away", { failure: { why: "no answer", forMs: 90_400 } }, "warnings", "for 90 s: no answer"],
  ["a token that is refused", { refusedForMs: 4_000, failure: { why: "no", forMs: 4_000 } }, "errors", "token for 4 s"],
  ["keys not confirmed", { admission: "frozen", streamProblem: "silent" }, "errors", "15 minutes"],
  ["a stream that is lost", { streamProblem: "it is silent" }, "warnings", "it is silent"],
  ["a primary without a stream", { admission: "open" }, "warnings", "every client may"],
  ["another release", { primaryVersion: "v2.27.0" }, "warnings", "v2.27.0 of the primary"],
  ["no keys of tokens", { appKeysProblem: "no answer" }, "warnings", "tokens: no answer"],
  ["siblings out of reach", { siblings: { all: 3, failed: 2 } }, "warnings", "2 of 3 other processes"],
])("%s", (_name, facts, list, words) => {
  const report = reportOf({ ...well, ...facts });
  expect(report[list]).toEqual([expect.stringContaining(words)]);
  expect(report[list === "errors" ? "warnings" : "errors"]).toEqual([]);
});
