/** The `require` of the bundles: inside a single executable, and of those whose compiled code is kept. */
import { resolve } from "node:path";
import { Script } from "node:vm";

export interface BundleSource {
  /** The text of a bundle; undefined when there is none of that name. */
  text(name: string): string | undefined;
  /** Where the bundles lie, as their code sees it. Inside an executable that is no folder. */
  readonly folder?: string;
  /** The compiled code of a bundle, if it was built for this platform. V8 refuses code of another version or architecture. */
  compiled(name: string): Buffer | undefined;
  /** A native module and where it is loaded from; undefined when there is none of that name. */
  native(name: string): { readonly exports: unknown; readonly origin: string } | undefined;
  /** Returns a module of Node itself, or of an installation. */
  builtin(name: string): unknown;
  /** Called for each bundle before it runs. */
  onCompiled?(name: string, script: Script): void;
  /** The file that a module comes from. Inside an executable the answer is in words, and for people. */
  resolve?(name: string): string;
}

type Wrapper = (
  exports: unknown,
  require: unknown,
  module: { exports: unknown },
  filename: string,
  dirname: string,
) => void;

/** Bundles are named as if they lay in one folder: `./cli.cjs`. */
export function requireFrom(source: BundleSource): (name: string) => unknown {
  const modules = new Map<string, { exports: unknown }>();
  /** Bundles whose compiled code V8 accepted. */
  const ready = new Set<string>();
  const folder = source.folder ?? resolve("/coder");

  const require = (name: string): unknown => {
    if (!name.startsWith("./")) return source.native(name)?.exports ?? source.builtin(name);
    const known = modules.get(name);
    if (known !== undefined) return known.exports;
    const text = source.text(name.slice(2));
    if (text === undefined) throw missing(name);
    const module = { exports: {} as unknown };
    modules.set(name, module);
    const filename = `${folder}/${name.slice(2)}`;
    const script = new Script(`(function (exports, require, module, __filename, __dirname) { ${text}\n})`, {
      filename,
      cachedData: source.compiled(name.slice(2)),
    });
    if (script.cachedDataRejected === false) ready.add(name);
    source.onCompiled?.(name.slice(2), script);
    (script.runInThisContext() as Wrapper)(module.exports, require, module, filename, folder);
    return module.exports;
  };
  require.resolve = (name: string): string => {
    if (source.resolve !== undefined) return source.resolve(name);
    if (modules.has(name)) return `inside the executable, ${ready.has(name) ? "compiled before" : "compiled now"}`;
    const origin = source.native(name)?.origin;
    if (origin === undefined) throw missing(name);
    return origin;
  };
  return require;
}

export function missing(name: string): Error {
  return Object.assign(new Error(`there is no module ${name} in this executable`), { code: "MODULE_NOT_FOUND" });
}
