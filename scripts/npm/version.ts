/** The one version of everything, and every place where it is written. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const BUILD_VERSION = "packages/protocol/src/version.ts";

interface Place {
  /** Relative to the repository. */
  readonly file: string;
  /** Its first group is the version. */
  readonly pattern: RegExp;
}

export function placesOfVersion(): Place[] {
  return [
    { file: BUILD_VERSION, pattern: /(?<=BUILD_VERSION = "v[\d.]+\+network\.)([^"]+)(?=")/ },
    ...["package.json", ...globSync("packages/*/package.json", { cwd: root }).sort()].map((file) => ({
      file,
      pattern: /(?<="version": ")([^"]+)(?=")/,
    })),
  ];
}

export function versionAt({ file, pattern }: Place): string | undefined {
  return pattern.exec(readFileSync(join(root, file), "utf8"))?.[1];
}
