/** How modules of Node come into the bundles: those that take milliseconds to load, when they are used. */
import { createRequire } from "node:module";
import type { Plugin } from "esbuild";

/** A command that talks to a server without TLS needs no TLS, and one that only prints needs none of them. */
const SLOW = ["tls", "https", "http", "tty", "child_process", "dns", "fs/promises", "v8"];
const NAMESPACE = "lazy-builtin";

/** Each export becomes a getter, which loads the module. None of these is used for every packet. */
export const lazyBuiltins: Plugin = {
  name: "lazy-builtins",
  setup({ onLoad, onResolve }) {
    onResolve({ filter: new RegExp(`^(node:)?(${SLOW.join("|")})$`) }, ({ path, namespace }) => {
      if (namespace === NAMESPACE) return { path, external: true };
      return { path: path.replace(/^(node:)?/, "node:"), namespace: NAMESPACE };
    });
    onLoad({ filter: /.*/, namespace: NAMESPACE }, ({ path }) => ({ contents: lazyModule(path) }));
  },
};

/** Exported for its test. */
export function lazyModule(path: string): string {
  const names = Object.keys(createRequire(import.meta.url)(path) as object);
  const getters = names.map((name) => `  get ${name}() { return load().${name}; },`);
  return `let loaded;
const load = () => (loaded ??= require(${JSON.stringify(path)}));
module.exports = {
${getters.join("\n")}
};
`;
}
