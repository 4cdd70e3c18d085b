/** Markdown: links and paths lead somewhere. Where it is written by hand, its English is plain and each sentence has a line of its own. */
import { execFileSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { BANNED } from "./prose/banned.ts";
import { anchorsOf, brokenLines, linksIn, namesIn, pathsIn, proseLines, sourcesIn } from "./prose/markdown.ts";

const root = join(import.meta.dirname, "..");
const GENERATED = /^docs\/(?:cli|api)\/|^docs\/(?:security|operations\/environment)\.md$/;
const isWritten = (page: string): boolean => !GENERATED.test(page);

const pages = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((page) => page !== "" && existsSync(join(root, page)));
const read = (page: string): string => readFileSync(join(root, page), "utf8");

describe.each(pages)("%s", (page) => {
  it("has links that lead somewhere", () => {
    const broken = linksIn(read(page)).filter((link) => {
      const [path, anchor] = link.split("#") as [string, string?];
      const target = path === "" ? join(root, page) : join(root, dirname(page), path);
      if (!existsSync(target)) return true;
      return anchor !== undefined && !anchorsOf(readFileSync(target, "utf8")).includes(anchor);
    });
    expect(broken).toEqual([]);
  });
});

describe.each(pages.filter(isWritten))("%s, written by hand,", (page) => {
  it("names files of the repository that exist", () => {
    expect(pathsIn(read(page)).filter((path) => globSync(path, { cwd: root }).length === 0)).toEqual([]);
  });

  it("does without banned words", () => {
    const found = proseLines(read(page)).flatMap(({ number, text }) =>
      [...text.matchAll(BANNED)].map(([word]) => `line ${number}: ${word}`),
    );
    expect(found).toEqual([]);
  });

  it("has one sentence a line", () => {
    expect(brokenLines(read(page)).map(({ number, text }) => `${page}:${number}: ${text}`)).toEqual([]);
  });
});

it("a page below docs is in the map of docs, or in that of docs/operations", () => {
  const mapped = ["docs/README.md", "docs/operations/README.md"].flatMap((map) =>
    linksIn(read(map)).map((link) => join(dirname(map), link)),
  );
  expect(pages.filter(isWritten).filter((page) => /^docs\/(?!.*README)/.test(page) && !mapped.includes(page))).toEqual(
    [],
  );
});

describe("ARCHITECTURE.md", () => {
  const sources = globSync("packages/*/src/**/*.{ts,tsx}", { cwd: root }).map((file) => file.replaceAll("\\", "/"));
  /** Paths with and without `packages` and `src`: a file may be named from its package or from its room. */
  const named = sources.flatMap((file) => [`/${file}`, `/${file.replace(/^packages\/([\w-]+)\/src\//, "$1/")}`]);

  it("names files and folders of the sources that exist", () => {
    const exists = (name: string): boolean =>
      named.some((file) => (name.endsWith("/") ? file.includes(`/${name}`) : file.endsWith(`/${name}`))) ||
      globSync(name, { cwd: root }).length > 0;
    const all = sourcesIn(read("ARCHITECTURE.md"));
    expect(all.length).toBeGreaterThan(150);
    expect(all.filter((name) => !exists(name))).toEqual([]);
  });

  it("names classes, types and members that exist", () => {
    const code = sources.map(read).join("\n");
    const all = namesIn(read("ARCHITECTURE.md"));
    expect(all.length).toBeGreaterThan(20);
    expect(all.filter((name) => !new RegExp(`\\b${name}\\b`).test(code))).toEqual([]);
  });
});

describe("the checks of Markdown", () => {
  it("find two sentences on a line, and a sentence on two lines", () => {
    const numbers = (text: string) => brokenLines(text).map(({ number }) => number);
    expect(numbers("One sentence. Another one.\n")).toEqual([1]);
    expect(numbers("A sentence that goes\non here.\n")).toEqual([1]);
    expect(numbers("- An item (see `a. B`). Then more.\n- Another\n- and one\n")).toEqual([1]);
    expect(numbers("One sentence.\nAnother one:\n\n- an item\n- an item\n  that wraps\n")).toEqual([5]);
    expect(numbers("RFC 8439 §2.8. and e.g. Node 22.13 are one sentence.\n")).toEqual([]);
    expect(numbers("```\nOne. Two.\n```\n| One. Two. | |\n")).toEqual([]);
  });

  it("find links, anchors and paths", () => {
    expect(linksIn("[a](b.md#c) `[no](link)` [web](https://example.com)\n```\n[x](y)\n```\n")).toEqual(["b.md#c"]);
    expect(anchorsOf("# A title, with `code`\n")).toEqual(["a-title-with-code"]);
    expect(pathsIn("`packages/a/{b,c}.ts`, scripts/x/*.ts. packages/<name>/src @packages/no")).toEqual([
      "packages/a/b.ts",
      "packages/a/c.ts",
      "scripts/x/*.ts",
    ]);
  });

  it("find sources and names of code", () => {
    const text = "`a/{b,c}.ts` `io/` `cut -d/` `PathFinder.probe()` `TCP`\n```mermaid\na as x/d.ts, tcp/\n```\n";
    expect(sourcesIn(text)).toEqual(["io/", "a/b.ts", "a/c.ts", "x/d.ts"]);
    expect(namesIn(text)).toEqual(["PathFinder", "probe"]);
  });
});
