/** `npm run set-version -- X.Y.Z`: gives everything that version, and begins its section of the changelog. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { placesOfVersion } from "./npm/version.ts";

const root = join(import.meta.dirname, "..");
const version = process.argv[2] ?? "";
if (!/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version)) {
  process.stderr.write("usage: npm run set-version -- X.Y.Z\n");
  process.exit(2);
}
for (const { file, pattern } of placesOfVersion()) {
  const path = join(root, file);
  writeFileSync(path, readFileSync(path, "utf8").replace(pattern, version));
}
const changelog = join(root, "CHANGELOG.md");
const text = readFileSync(changelog, "utf8");
if (!text.includes(`\n## ${version} `)) {
  writeFileSync(changelog, text.replace("\n## ", `\n## ${version} — not yet released\n\n\n## `));
  process.stdout.write("Write into CHANGELOG.md what has changed for whom.\n");
}
process.stdout.write(`Everything is version ${version} now.\n`);
