/** A test waits for an event, not for a time. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testFilesOf } from "./security/proofs.ts";

const root = join(import.meta.dirname, "..");
const WAIT = /await sleep\(|new Promise\S*\(\(?\w+\)? => setTimeout\(/;
/** In `test/natlab` an outage has a duration. A wait elsewhere needs a reason, which is stated here. */
const TESTS_OF_OUTAGES = /^packages\/cli\/test\/natlab\//;
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "packages/cli/test/interop/reverse-proxies.test.ts":
    "a connection is silent for longer than the proxy in front of it allows, which is the thing that is tested",
  "packages/wg-userspace/test/interop/wireguard-go.test.ts":
    "the stock peer answers no second handshake within five seconds of the first",
  "scripts/waits.test.ts": "samples for the search itself",
};

test("no test proves something by the state after a fixed wait", () => {
  const found = testFilesOf(root)
    .filter((file) => !TESTS_OF_OUTAGES.test(file))
    .flatMap((file) => fixedWaitsIn(readFileSync(join(root, file), "utf8")).map((line) => ({ file, line })));
  expect(found.filter(({ file }) => !(file in EXCEPTIONS))).toEqual([]);
  expect([...new Set(found.map(({ file }) => file))].sort()).toEqual(Object.keys(EXCEPTIONS).sort());
});

test("polls are distinguished from waits", () => {
  const [poll, wait] = ["while (!done()) await sleep(5);", "await sleep(5);"];
  expect(fixedWaitsIn(`test("a", async () => {\n  ${poll}\n});`)).toEqual([]);
  expect(fixedWaitsIn(`test("a", async () => {\n  for (;;) {\n    if (done()) break;\n    ${wait}\n  }\n});`)).toEqual(
    [],
  );
  expect(fixedWaitsIn(`test("a", async () => {\n  for (;;) {\n    ask();\n  }\n  ${wait}\n});`)).toEqual([wait]);
  expect(fixedWaitsIn("  await new Promise((resolve) => setTimeout(resolve, 50));")).toHaveLength(1);
});

/** Lines that wait outside of a loop. */
function fixedWaitsIn(text: string): string[] {
  const lines = text.split("\n");
  return lines.flatMap((line, at) => (WAIT.test(line) && !isInLoop(lines, at) ? [line.trim()] : []));
}

/** Judged by indentation, which the formatter guarantees: whether the line, or a block around it, is a loop. */
function isInLoop(lines: readonly string[], at: number): boolean {
  const LOOP = /^\s*(for|while|do)\b/;
  let indent = indentOf(lines[at]!);
  if (LOOP.test(lines[at]!)) return true;
  for (let above = at - 1; above >= 0 && indent > 0; above--) {
    const line = lines[above]!;
    if (line.trim() === "" || indentOf(line) >= indent) continue;
    if (LOOP.test(line)) return true;
    indent = indentOf(line);
  }
  return false;
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}
