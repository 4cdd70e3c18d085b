import type { StoredHealthReport } from "coder-protocol/rest/deployment";
import { describe, expect, it } from "vitest";
import { findingsOf, shortId, wordsOf } from "./replica-words.ts";

const report: StoredHealthReport = {
  time: "2026-01-01T00:00:00Z",
  healthy: false,
  severity: "error",
  coder_version: "1",
  sections: {
    database: { healthy: true, severity: "warning", warnings: [{ code: "EDB03", message: "polling" }] },
    derp: {
      healthy: false,
      severity: "error",
      error: "EDERP02: none works",
      warnings: [{ code: "EDERP02", message: "none works" }],
    },
  },
};

describe("words for a server", () => {
  it("name its state, and that there is none", () => {
    expect(wordsOf({ report, severity: "error" })).toBe("Failing");
    expect(wordsOf({ report, severity: "warning" })).toBe("Warning");
    expect(wordsOf({ report, severity: "ok" })).toBe("Healthy");
    expect(wordsOf({ report: null, severity: "ok" })).toBe("No report yet");
  });

  it("list what it found, errors first and each once", () => {
    expect(findingsOf({ report })).toEqual(["EDERP02: none works", "EDB03: polling"]);
    expect(findingsOf({ report: null })).toEqual([]);
  });

  it("shorten its id", () => {
    expect(shortId("0123abcd-4567-89ab-cdef-0123456789ab")).toBe("0123abcd");
  });
});
