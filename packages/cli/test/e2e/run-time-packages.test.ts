import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const dist = join(import.meta.dirname, "../../dist");
/** The modules that each kind of process loads: the launcher, the table of commands, and its own bundle. */
const PROCESSES = {
  "a command": ["coder", "cli", "network"],
  "ssh --stdio": ["coder", "ssh-stdio"],
  "the agent": ["coder", "cli", "agent"],
  "the server": ["coder", "cli", "server"],
} as const;

it.each(Object.entries(PROCESSES))("security 41: %s loads at most 25 third-party packages", (_name, bundles) => {
  const packages = JSON.parse(readFileSync(join(dist, "packages.json"), "utf8")) as Record<string, string[]>;
  const loaded = new Set(bundles.flatMap((bundle) => packages[bundle]!));
  expect(loaded).toContain("@noble/hashes");
  expect(loaded.size, [...loaded].join(" ")).toBeLessThanOrEqual(25);
  expect([...loaded].filter((name) => packages["pg"]!.includes(name))).toEqual([]); // only for a store in PostgreSQL
  expect(loaded).not.toContain("tldts"); // only for a domain for web apps
  expect(packages["help"]).toContain("@oclif/core"); // and its dependencies, which are loaded only for help and usage errors
});

it("a command that needs no engine loads the framework, and none of what the framework brings", () => {
  const packages = JSON.parse(readFileSync(join(dist, "packages.json"), "utf8")) as Record<string, string[]>;
  expect(packages["cli"]).toEqual(["@oclif/core", "proxy-from-env"]);
  for (const lean of ["coder", "start", "output"]) expect(packages[lean]).toEqual([]);
});
