/** The commands in the pages of docs/operations use only options that exist. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { GLOBAL_FLAGS } from "../flags/global.ts";
import { allCommandTexts } from "../registry.ts";

const folder = join(import.meta.dirname, "../../../../docs/operations");
const pages = readdirSync(folder);
const read = (page: string): string => readFileSync(join(folder, page), "utf8");

/** Calls of the command in the code blocks of a page, with continued lines joined, and comments and pipes removed. */
function calls(page: string): string[][] {
  const blocks = [...read(page).matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text!);
  return blocks
    .flatMap((text) => text.replaceAll("\\\n", " ").split("\n"))
    .flatMap((line) => line.split(/ # | \|\|? | && |; /)[0]!.match(/^(?:sudo )?coder (.*)$/)?.[1] ?? [])
    .map((line) => line.split(/\s+/).filter(Boolean));
}

test.each(pages)("commands of %s use existing options", async (page) => {
  const commands = await allCommandTexts();
  for (const words of calls(page)) {
    const ids = [3, 2, 1].map((count) => words.slice(0, count).join(":")).filter((id) => id in commands);
    expect(ids, `coder ${words.join(" ")}`).not.toEqual([]);
    const known = [...commands[ids[0]!]!.flags.map(({ name }) => name), ...Object.keys(GLOBAL_FLAGS)].map(
      (name) => `--${name}`,
    );
    const given = words.filter((word) => word.startsWith("--") && word !== "--").map((word) => word.split("=")[0]!);
    const own = words.includes("--") ? given.slice(0, words.indexOf("--")) : given;
    expect(
      own.filter((flag) => flag !== "--help" && !known.includes(flag)),
      `coder ${words.join(" ")}`,
    ).toEqual([]);
  }
});

test("there are commands to check, and an index of every page", () => {
  expect(pages.flatMap(calls).length).toBeGreaterThan(25);
  const index = read("README.md");
  for (const name of pages) if (name !== "README.md") expect(index).toContain(`(${name})`);
});
