import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { allCommandTexts } from "../registry.ts";
import { manPages } from "./man-pages.ts";

const EDITION = { version: "v1.2.3+x", date: "2026-01-31" };

test("every command has a page with its options, and the root page names it", async () => {
  const commands = await allCommandTexts();
  const pages = manPages(commands, EDITION);
  for (const [id, command] of Object.entries(commands)) {
    const name = `coder-${id.replaceAll(":", "-")}`;
    const text = pages[`${name}.1`]!;
    expect(pages["coder.1"]).toContain(name.replaceAll("-", "\\-"));
    for (const { name, hidden } of command.flags)
      expect(text.includes(`\\-\\-${name.replaceAll("-", "\\-")}\\fR`), `${id} --${name}`).toBe(hidden !== true);
  }
});

test("text stays text: no escape, and no line that is a request", () => {
  const command = {
    summary: "Do it",
    description: ".so /etc/passwd",
    examples: ["'x \\fB"],
    flags: [],
    words: [],
    takesRest: false,
  };
  const text = manPages({ "a-b": command }, EDITION)["coder-a-b.1"]!;
  expect(text).toContain("\n\\&.so /etc/passwd.\n");
  expect(text).toContain("\n\\&'x \\efB\n");
  expect(text).toContain("coder\\-a\\-b \\- do it\n");
});

const hasGroff = spawnSync("groff", ["--version"]).status === 0;
test.runIf(hasGroff)("groff has no warning", async () => {
  for (const [name, input] of Object.entries(manPages(await allCommandTexts(), EDITION))) {
    const done = spawnSync("groff", ["-man", "-Tutf8", "-ww", "-z"], { input, encoding: "utf8" });
    expect([name, done.stderr]).toEqual([name, ""]);
  }
});
