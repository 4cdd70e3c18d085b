/**
 * The one door to what is loaded at run time and not bundled: native modules, and bundles beside this one. A bundle has its own
 * `require`: Node's, or in a single executable the one that finds everything inside (cli/src/executable).
 */
import { createRequire } from "node:module";

/** Defined in bundles only. Not a `require`: runners of tests have one as well, and it looks from this file. */
declare const __bundleUrl: string | undefined;

/**
 * Throws what `require` throws.
 * @param from The URL of the module that asks: where the source runs unbundled, its own dependencies are looked at.
 */
export function loadAtRunTime(name: string, from: string): unknown {
  return requireOf(from)(name);
}

/** The file that a module is loaded from; throws as loading it does. */
export function originAtRunTime(name: string, from: string): string {
  return requireOf(from).resolve(name);
}

function requireOf(from: string): NodeJS.Require {
  return typeof __bundleUrl === "string" ? require : createRequire(from);
}
