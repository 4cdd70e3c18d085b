import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { release, sections } from "./changelog.ts";

const OLD = "# Changelog\n\n## [Unreleased]\n\n### Fixed\n\n- a bug\n\n## [1.0.0] - 2026-01-02\n\n### Added\n\n- all\n";

it("moves what is unreleased to the version that is released", () => {
  const after = release(OLD, "1.1.0", "2026-02-03");
  expect(sections(after)).toEqual(["[Unreleased]", "[1.1.0] - 2026-02-03", "[1.0.0] - 2026-01-02"]);
  expect(after).toContain("## [Unreleased]\n\n## [1.1.0] - 2026-02-03\n\n### Fixed\n\n- a bug\n\n## [1.0.0]");
});

it("leaves the section of a version alone that was released before", () => {
  expect(release(OLD, "1.0.0", "2026-02-03")).toBe(OLD);
});

it("names what is missing", () => {
  expect(() => release("# Changelog\n", "1.0.0", "2026-02-03")).toThrow('no section "[Unreleased]"');
});

it("CHANGELOG.md begins with what is unreleased; every other section has a version and a date", () => {
  const titles = sections(readFileSync(join(import.meta.dirname, "../../CHANGELOG.md"), "utf8"));
  expect(titles[0]).toBe("[Unreleased]");
  for (const title of titles.slice(1)) expect(title).toMatch(/^\[\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?\] - \d{4}-\d\d-\d\d$/);
});
