import { expect, test } from "vitest";
import { progressLine, speedtestColumns, speedtestJson, speedtestTable } from "./speedtest-text.ts";

const RESULT = {
  intervals: [
    { startSeconds: 0, endSeconds: 1, bytes: 125_000_000 },
    { startSeconds: 1, endSeconds: 2.5, bytes: 1_234_567 },
  ],
  overall: { startSeconds: 0, endSeconds: 2.5, bytes: 126_234_567 },
};

test("the table has a row for every interval, a line, and the whole", () => {
  expect(speedtestTable(RESULT, speedtestColumns([]))).toBe(
    [
      "INTERVAL       THROUGHPUT",
      "0.00-1.00 sec  1000.0000 Mbits/sec",
      "1.00-2.50 sec  6.5844 Mbits/sec",
      "----------------------------------",
      "0.00-2.50 sec  403.9506 Mbits/sec",
      "",
    ].join("\n"),
  );
});

test("columns are chosen by name in any case, and in any order", () => {
  expect(speedtestTable(RESULT, speedtestColumns(["throughput,Interval"]))).toContain(
    "THROUGHPUT           INTERVAL\n",
  );
  expect(speedtestTable(RESULT, speedtestColumns(["Throughput"]))).not.toContain("sec  ");
  expect(() => speedtestColumns(["latency"])).toThrow('no column "latency"; the columns are: Interval, Throughput');
});

test("the JSON has seconds and megabits a second", () => {
  expect(speedtestJson(RESULT)).toEqual({
    overall: { start_time_seconds: 0, end_time_seconds: 2.5, throughput_mbits: expect.closeTo(403.9506, 3) },
    intervals: [
      { start_time_seconds: 0, end_time_seconds: 1, throughput_mbits: 1000 },
      { start_time_seconds: 1, end_time_seconds: 2.5, throughput_mbits: expect.closeTo(6.5844, 3) },
    ],
  });
});

test("a test that ended at once has no throughput rather than an infinite one", () => {
  const overall = { startSeconds: 0, endSeconds: 0, bytes: 5 };
  expect(JSON.stringify(speedtestJson({ intervals: [], overall }))).toContain('"throughput_mbits":0');
});

test("the progress shows position, rate and direction", () => {
  expect(progressLine(RESULT.intervals[1]!, 5_000, "direct, 10.0.0.1:5")).toBe(
    "3 of 5 s  6.6 Mbits/sec  direct, 10.0.0.1:5",
  );
});
