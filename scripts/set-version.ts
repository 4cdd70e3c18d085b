/** `npm run set-version -- X.Y.Z`: sets the version everywhere, and begins its section of the changelog. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { release } from "./npm/changelog.ts";
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
const today = new Date().toISOString().slice(0, 10);
writeFileSync(changelog, release(readFileSync(changelog, "utf8"), version, today));
process.stdout.write(`Everything is version ${version} now.\n`);
