import { enableCompileCache } from "node:module";
import { isSea } from "node:sea";
import { cacheFolder } from "./base/cache-folder.ts";

/**
 * Keeps compiled code between starts; a single executable brings its own. Without the cache a start is slower and nothing
 * else, so no failure here is worth a word.
 */
export function keepCompiledCode(environment: NodeJS.ProcessEnv): void {
  if (isSea()) return;
  const folder = cacheFolder("compiled", environment, process.getuid?.());
  if (folder !== undefined) enableCompileCache?.(folder);
}
