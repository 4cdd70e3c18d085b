/**
 * The English of the code: banned words are found in comments, texts and templates by file and line. One pass of one
 * regular expression, because none of the words can be part of a longer word or of a keyword.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { BANNED } from "./prose/banned.ts";

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
it("no banned word is in comments or texts", () => {
  expect([...packages, "scripts", "bench"].flatMap(filesBelow).flatMap(bannedIn)).toEqual([]);
});
