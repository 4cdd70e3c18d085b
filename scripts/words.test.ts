/**
 * The English of the code: banned words are found in comments, texts and templates by file and line. One pass of one
 * regular expression, because none of the words can be part of a longer word or of a keyword.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { BANNED } from "./prose/banned.ts";

const root = join(import.meta.dirname, "..");
const SOURCES = /\.(?:ts|mjs|c|go)$/;
const GENERATED = /(?:^|\/)(?:node_modules|dist|gen|vectors|results|build)(?:\/|$)|\.wasm\.ts$/;
/** A string that is the word alone is a name, such as that of the Unix account. */
const NAMED = /["'`](?:no|every)[b]ody["'`]/g;

/** Files that still hold a banned word. The list only shrinks: a listed file without one fails the test. */
const PENDING: readonly string[] = [
  "packages/cli/src/commands/login-token.ts",
  "packages/cli/src/commands/logout.ts",
  "packages/cli/src/commands/users/edit-roles.ts",
  "packages/cli/src/services/stop-watch.ts",
  "packages/cli/src/services/support-bundle.ts",
  "packages/cli/src/ssh-config/block.ts",
  "packages/server/src/config/flags.ts",
  "packages/wg-userspace/src/magicsock/discovery.ts",
  "packages/wg-userspace/src/magicsock/path-finder.ts",
];

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
const found = new Map(
  [...packages, "scripts", "bench"]
    .flatMap(filesBelow)
    .map((path) => [path, bannedIn(path)] as const)
    .filter(([, words]) => words.length > 0),
);

it("no banned word is in a file outside the list", () => {
  expect([...found].filter(([path]) => !PENDING.includes(path)).flatMap(([, words]) => words)).toEqual([]);
});

it("every file in the list still holds a banned word", () => {
  expect(PENDING.filter((path) => !found.has(path))).toEqual([]);
});
