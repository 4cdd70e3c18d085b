import { enableCompileCache } from "node:module";
import { isSea } from "node:sea";
import { cacheFolder } from "./base/cache-folder.ts";

/**
 * Keeps compiled code between starts; a single executable has its own. Without the cache a start is only slower, so failures here
 * are not reported.
 */
export function keepCompiledCode(environment: NodeJS.ProcessEnv): void {
  if (isSea()) return;
  const folder = cacheFolder("compiled", environment, process.getuid?.());
  if (folder !== undefined) enableCompileCache?.(folder);
}
