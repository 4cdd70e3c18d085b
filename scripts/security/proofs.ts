/** Finds the tests that prove a statement: those whose title, or whose group's title, begins with `security N:`. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { StatementNumber } from "./statements.ts";

export interface Proof {
  readonly numbers: readonly StatementNumber[];
  readonly file: string;
  readonly title: string;
}

/** A title in a call of test, it or describe, or in a row of test.each. */
const TITLE = /(["'`])security ([RS]?\d+(?:, [RS]?\d+)*): ((?:\\.|(?!\1).)+)\1/g;
const NOT_RUN = /\.(skip|todo|fails)\(/;

export function proofsOf(root: string): Proof[] {
  return testFilesOf(root).flatMap((file) => proofsIn(file, readFileSync(join(root, file), "utf8")));
}

export function testFilesOf(root: string): string[] {
  return globSync(["packages/*/{src,test}/**/*.test.ts", "scripts/**/*.test.ts"], { cwd: root }).sort();
}

export function proofsIn(file: string, text: string): Proof[] {
  const lines = text.split("\n");
  return lines.flatMap((line, at) => {
    if (/^\s*(\/\/|\*|\/\*)/.test(line) || NOT_RUN.test(line) || NOT_RUN.test(lines[at - 1] ?? "")) return [];
    return [...line.matchAll(TITLE)].map((match) => ({
      numbers: match[2]!.split(", ").map(statementNumber),
      file,
      title: match[3]!.replaceAll(/\\(.)/g, "$1"),
    }));
  });
}

function statementNumber(text: string): StatementNumber {
  const number = Number(text.replace(/^[RS]/, ""));
  if (text.startsWith("S")) return `S${number}`;
  return text.startsWith("R") ? `R${number}` : number;
}
