/**
 * The English of the code: banned words are found in comments, texts and templates by file and line. One pass of one
 * regular expression, because none of the words can be part of a longer word or of a keyword. Documents that the code cites
 * are in the repository.
 */
import { globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { BANNED } from "./prose/banned.ts";
import { documentsIn, statementsIn } from "./prose/citations.ts";
import { CHAPTERS } from "./security/statements.ts";

const root = join(import.meta.dirname, "..");
const SOURCES = /\.(?:tsx?|mjs|css|html|c|go)$/;
const GENERATED = /(?:^|\/)(?:node_modules|dist|gen|vectors|results|build)(?:\/|$)|\.wasm\.ts$/;
/** A string that is the word alone is a name, such as that of the Unix account. */
const NAMED = /["'`](?:no|every)[b]ody["'`]/g;

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (GENERATED.test(path)) return [];
    if (entry.isDirectory()) return filesBelow(path);
    return SOURCES.test(entry.name) ? [path] : [];
  });
}

/** `path:line: word` for each banned word of a file. */
function bannedIn(path: string): string[] {
  const text = readFileSync(join(root, path), "utf8").replace(NAMED, "");
  return [...text.matchAll(BANNED)].map(
    (match) => `${path}:${text.slice(0, match.index).split("\n").length}: ${match[0]}`,
  );
}

const packages = readdirSync(join(root, "packages")).flatMap((name) => [`packages/${name}`]);
const files = [...packages, "scripts", "bench"].flatMap(filesBelow);
it("no banned word is in comments or texts", () => {
  expect(files.flatMap(bannedIn)).toEqual([]);
});

it("a document or security statement that code cites is in the repository", () => {
  const cited = files.map((path) => ({ path, code: readFileSync(join(root, path), "utf8") }));
  const documents = cited.flatMap(({ path, code }) =>
    documentsIn(code)
      .filter((document) => globSync(document, { cwd: root }).length === 0)
      .map((document) => `${path}: ${document}`),
  );
  expect(documents).toEqual([]);
  const numbers = new Set(CHAPTERS.flatMap(({ statements }) => statements.map(({ number }) => String(number))));
  const statements = cited.flatMap(({ path, code }) =>
    statementsIn(code)
      .filter((id) => !numbers.has(id))
      .map((id) => `${path}: statement ${id}`),
  );
  expect(statements).toEqual([]);
});

it("citations are found in comments", () => {
  expect(
    documentsIn(
      "// docs/protocols/port-mapping.md, `docs/protocols/port-mapping.md`, see decision 005 and my-docs/no.md",
    ),
  ).toEqual(["docs/protocols/port-mapping.md", "docs/decisions/005-*.md"]);
  expect(statementsIn("(security statement 23, statement S7), a prepared statement")).toEqual(["23", "S7"]);
});
