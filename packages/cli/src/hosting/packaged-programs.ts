import { isSea } from "node:sea";
import { fileURLToPath } from "node:url";
import { type ProgramSources, platformOfNode } from "coder-server";

/** Where this checkout builds a release from the bundles. */
const RELEASE = "../../../.build/release";

/** Executables that a server offers without configuration: itself, or those that its checkout has built. */
export function packagedPrograms(): ProgramSources {
  if (!isSea()) return { directories: [fileURLToPath(new URL(RELEASE, import.meta.url))] };
  const platform = platformOfNode(process.platform, process.arch);
  return { directories: [], own: platform === undefined ? undefined : { path: process.execPath, platform } };
}
