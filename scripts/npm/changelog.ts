/** CHANGELOG.md in the form of Keep a Changelog 1.1.0: `[Unreleased]` first, then a dated section for each version. Pure. */

const UNRELEASED = "\n## [Unreleased]\n";

/** Moves what is unreleased into a section of `version`; unchanged where that section exists. @param date YYYY-MM-DD. */
export function release(changelog: string, version: string, date: string): string {
  if (changelog.includes(`\n## [${version}] `)) return changelog;
  if (!changelog.includes(UNRELEASED)) throw new Error('CHANGELOG.md has no section "[Unreleased]"');
  return changelog.replace(UNRELEASED, `${UNRELEASED}\n## [${version}] - ${date}\n`);
}

/** The titles of the sections, newest first. */
export function sections(changelog: string): string[] {
  return [...changelog.matchAll(/^## (.*)$/gm)].map(([, title]) => title!);
}
