import { expect, test } from "vitest";
import { allPlatforms, parseDownloadPath, platformOfNode, programFile } from "./names.ts";
import { chooseCoding, matchesTag, parseRange } from "./range.ts";

test("one range of bytes is understood; anything else means the whole file", () => {
  const part = (start: number, end: number) => ({ kind: "part", start, end });
  expect(parseRange("bytes=0-9", 100)).toEqual(part(0, 9));
  expect(parseRange("bytes=90-", 100)).toEqual(part(90, 99));
  expect(parseRange("bytes=90-500", 100)).toEqual(part(90, 99));
  expect(parseRange("bytes=-10", 100)).toEqual(part(90, 99));
  expect(parseRange("bytes=-500", 100)).toEqual(part(0, 99));
  for (const header of ["bytes=100-", "bytes=-0", "bytes=500-600"])
    expect(parseRange(header, 100)).toEqual({ kind: "unsatisfiable" });
  expect(parseRange("bytes=-5", 0)).toEqual({ kind: "unsatisfiable" });
  const ignored = [
    undefined,
    "",
    "bytes=",
    "bytes=-",
    "bytes=9-3",
    "bytes=0-1,4-5",
    "lines=0-9",
    "bytes=a-b",
    "bytes=0x1-2",
  ];
  for (const header of [...ignored, `bytes=${"9".repeat(400)}-`, "bytes=1--2"])
    expect([header, parseRange(header, 100)]).toEqual([header, { kind: "whole" }]);
});

test("entity tags of If-None-Match compare weakly", () => {
  for (const header of ['"a"', 'W/"a"', '"b", "a"', "*", ' "b" ,W/"a"']) expect(matchesTag(header, '"a"')).toBe(true);
  for (const header of [undefined, "", "a", '"A"', '"b"', "**"]) expect(matchesTag(header, '"a"')).toBe(false);
});

test("the client chooses the coding; one that it does not name is not sent", () => {
  const offered = ["zstd", "gzip"] as const;
  const cases: readonly [string | undefined, string][] = [
    [undefined, "identity"],
    ["", "identity"],
    ["gzip", "gzip"],
    ["GZIP, deflate, br", "gzip"],
    ["x-gzip", "gzip"],
    ["gzip, zstd", "zstd"],
    ["gzip;q=1, zstd;q=0.5", "gzip"],
    ["gzip;q=0", "identity"],
    ["gzip;q=nonsense", "identity"],
    ["*", "identity"],
    ["br", "identity"],
    [`${"a,".repeat(5000)}gzip`, "identity"],
  ];
  for (const [header, coding] of cases) expect([header, chooseCoding(header, offered)]).toEqual([header, coding]);
  expect(chooseCoding("zstd, gzip;q=0.1", ["gzip"])).toBe("gzip");
});

test("names are those of platforms, letter by letter", () => {
  for (const platform of allPlatforms()) {
    const file = programFile(platform);
    expect(parseDownloadPath(`/bin/${file}`)).toEqual({ kind: "program", file, platform });
    expect(parseDownloadPath(`/bin/${file}.asc`)).toMatchObject({ kind: "signature", file: `${file}.asc` });
  }
  const others = [
    "",
    "coder",
    "coder-linux",
    "coder-linux-amd64.exe",
    "coder-windows-amd64",
    "coder-linux-mips",
    "keys.json",
  ];
  const dressed = [
    "coder-linux-amd64/",
    "coder-linux-amd64%00",
    "./coder-linux-amd64",
    "Coder-linux-amd64",
    "coder-linux-amd64.asc.asc",
  ];
  for (const name of [...others, ...dressed, "SHA256SUMS.asc", "coder-constructor-amd64", "coder-linux-amd64\n"])
    expect([name, parseDownloadPath(`/bin/${name}`)]).toEqual([name, undefined]);
  expect(platformOfNode("win32", "x64")).toEqual({ system: "windows", architecture: "amd64" });
  expect(platformOfNode("sunos", "x64")).toBeUndefined();
});
