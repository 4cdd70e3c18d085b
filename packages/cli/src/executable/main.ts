/** Entry of the single executable: everything else is inside as assets, which are read when needed. */
import { tmpdir } from "node:os";
import { getAsset, getRawAsset } from "node:sea";
import { missing, requireFrom } from "../bundles/require-from.ts";
import { type LoadedModule, loadNative } from "./native-file.ts";

/** The native modules inside: the asset of each by the name under which it is required. */
const natives = JSON.parse(getAsset("natives.json", "utf8")) as Readonly<Record<string, string>>;
const loaded = new Map<string, LoadedModule>();

requireFrom({
  text: (name) => assetOf(name)?.toString("utf8"),
  compiled: (name) => assetOf(`${name}.cache`),
  native: (name) => {
    const file = Object.hasOwn(natives, name) ? natives[name] : undefined;
    if (file === undefined) return undefined;
    const module = loaded.get(name) ?? load(file);
    loaded.set(name, module);
    return module;
  },
  builtin: (name) => {
    const module: unknown = process.getBuiltinModule(name);
    if (module === undefined) throw missing(name);
    return module;
  },
})("./coder.cjs");

function load(file: string): LoadedModule {
  return loadNative(
    { file, content: new Uint8Array(getRawAsset(file)) },
    {
      environment: process.env,
      uid: process.getuid?.(),
      temporary: tmpdir(),
      open: (path) => {
        const module = { exports: {} as unknown };
        process.dlopen(module, path);
        return module.exports;
      },
    },
  );
}

function assetOf(name: string): Buffer | undefined {
  try {
    return Buffer.from(getRawAsset(name) as ArrayBuffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_SINGLE_EXECUTABLE_APPLICATION_ASSET_NOT_FOUND") return undefined;
    throw error;
  }
}
