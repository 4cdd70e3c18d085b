import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/** Comparisons that only ask whether there is a value are fine. */
const HARMLESS = /^\s*(undefined|null|""|''|"string"|false|true)/;
const SECRET_NAME = String.raw`[\w.#]*(?:token|secret|mac|proof|digest|password|hash)`;

test("security 3: no secret is compared with === or !==", () => {
  const source = fileURLToPath(new URL("../src", import.meta.url));
  const offences: string[] = [];
  for (const name of readdirSync(source, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts") || name.endsWith(".test.ts")) continue;
    offences.push(...offencesIn(readFileSync(join(source, name), "utf8")).map((line) => `${name}: ${line}`));
  }
  expect(offences).toEqual([]);
});

test("the search finds what it looks for", () => {
  expect(offencesIn("if (token === stored) return;")).toHaveLength(1);
  expect(offencesIn("if (given !== this.#secret) return;")).toHaveLength(1);
  expect(offencesIn("if (row.token_hash === hash) return;")).toHaveLength(1);
  expect(offencesIn('if (token === undefined || typeof secret === "string") return;')).toEqual([]);
});

function offencesIn(text: string): string[] {
  const left = new RegExp(String.raw`\b${SECRET_NAME}\s*[!=]==(.*)$`, "i");
  const right = new RegExp(String.raw`^(.*?)[!=]==\s*${SECRET_NAME}\b(?![.(])`, "i");
  return text.split("\n").filter((line) => {
    const after = left.exec(line)?.[1];
    if (after !== undefined && !HARMLESS.test(after)) return true;
    const before = right.exec(line)?.[1];
    return before !== undefined && !/(undefined|null|"")\s*$/.test(before);
  });
}
