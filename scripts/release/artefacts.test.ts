import { expect, it } from "vitest";
import { artefactTable } from "./artefacts.ts";

it("the table of a release has a row for each file, with sizes that people read", () => {
  const artefacts = [
    { file: "coder-linux-amd64", bytes: 137_201_896, sha256: "5".repeat(64) },
    { file: "sbom.cdx.json", bytes: 28_368, sha256: "a".repeat(64) },
  ];
  expect(artefactTable("v1.2.3", artefacts).split("\n")).toEqual([
    "# coder v1.2.3",
    "",
    "| File | Size | SHA-256 |",
    "|---|---:|---|",
    `| \`coder-linux-amd64\` | 137.2 MB | \`${"5".repeat(64)}\` |`,
    `| \`sbom.cdx.json\` | 29 kB | \`${"a".repeat(64)}\` |`,
    "",
  ]);
});
