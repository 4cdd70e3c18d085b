import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { keep, withTable } from "./results.ts";

const page = readFileSync(join(import.meta.dirname, "../../docs/measurements.md"), "utf8");

it("puts the table of kept results between the marks of docs/measurements.md, and changes nothing else", () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-results-"));
  try {
    keep(folder, "one", {
      title: "One bench",
      date: "2026-01-02T03:04:05.000Z",
      machine: {},
      seconds: 2,
      result: {
        scale: "10 peers",
        figures: [
          { name: "ours", unit: "ms", value: 2, rounds: [1, 2, 3], target: 4, better: "lower" },
          { name: "alone", unit: "ms", value: 5, rounds: [5], better: "lower" },
        ],
        ratios: [{ of: "ours", to: "theirs", value: 0.5, rounds: [0.4, 0.6] }],
        missing: [],
        notes: [],
      },
    });
    const after = withTable(page, folder, ["never", "one"]);
    const at = page.indexOf("begin -->\n") + "begin -->\n".length;
    expect(after.slice(0, at)).toBe(page.slice(0, at));
    const rows = after.slice(at).split("\n");
    expect(rows[2]).toBe("| **One bench: 10 peers** | | | |");
    expect(rows[3]).toContain("| ours | 2.00 ms (1.00 … 3.00) | ≤ 4: met | 0.500 × theirs (0.400 … 0.600) |");
    expect(rows[4]).toBe("<!-- made by npm run bench: end -->");
    expect(rows.slice(5)).toEqual([""]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("names marks that are missing", () => {
  expect(() => withTable("no marks", ".", [])).toThrow("are not there");
});
