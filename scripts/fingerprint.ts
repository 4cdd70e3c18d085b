/** Whether a build output still matches its sources. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Fingerprint of files by content and, for those in folders, also by name. Their order counts. */
export function fingerprintOf(files: readonly string[], folders: readonly string[], more = ""): string {
  const hash = createHash("sha256").update(more);
  for (const file of files) hash.update(readFileSync(file));
  for (const folder of folders) {
    for (const file of filesIn(folder)) {
      hash.update(file);
      hash.update(readFileSync(file));
    }
  }
  return hash.digest("hex");
}

/** Whether the last build left this fingerprint at `stamp`. */
export function isBuilt(stamp: string, fingerprint: string): boolean {
  return existsSync(stamp) && readFileSync(stamp, "utf8") === fingerprint;
}

export function markBuilt(stamp: string, fingerprint: string): void {
  writeFileSync(stamp, fingerprint);
}

function filesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && !path.endsWith(".test.ts"))
    .sort();
}
