import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { allCommandTexts } from "../registry.ts";
import { commandPages } from "./command-pages.ts";

const folder = join(import.meta.dirname, "../../../../docs/cli");

test("docs/cli is up to date (node scripts/generate-docs.ts)", async () => {
  const pages = commandPages(await allCommandTexts());
  expect(readdirSync(folder).sort()).toEqual(Object.keys(pages).sort());
  for (const [name, text] of Object.entries(pages)) expect(readFileSync(join(folder, name), "utf8"), name).toBe(text);
});

test("every command has a summary and an example that begins with its name", async () => {
  for (const [id, command] of Object.entries(await allCommandTexts())) {
    expect(command.summary, id).toMatch(/^[A-Z].*[^.]$/);
    const name = `<%= config.bin %> ${id.replaceAll(":", " ")}`;
    expect(
      command.examples.some((example) => example.includes(name)),
      `${id} has no example`,
    ).toBe(true);
    const names = command.flags.map((spec) => spec.name);
    expect(new Set(names).size, id).toBe(names.length);
    const letters = command.flags.flatMap((spec) => spec.char ?? []);
    expect(new Set(letters).size, id).toBe(letters.length);
  }
});
