/**
 * The only place that loads what is not bundled: native modules, and bundles beside this one. A bundle has its own `require`:
 * Node's, or in a single executable one that finds everything inside it (cli/src/executable).
 */
import { createRequire } from "node:module";

/**
 * Defined in bundles only. `require` is no test for a bundle: test runners define it too, and it resolves from this
 * file.
 */
declare const __bundleUrl: string | undefined;

/**
 * Throws what `require` throws.
 * @param from The URL of the calling module: where the source runs unbundled, its own dependencies are searched.
 */
export function loadAtRunTime(name: string, from: string): unknown {
  return requireOf(from)(name);
}

/** The file that a module is loaded from; throws as loading it would. */
export function originAtRunTime(name: string, from: string): string {
  return requireOf(from).resolve(name);
}

function requireOf(from: string): NodeJS.Require {
  return typeof __bundleUrl === "string" ? require : createRequire(from);
}
