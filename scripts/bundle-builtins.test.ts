import { createRequire } from "node:module";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { lazyModule } from "./bundle-builtins.ts";

it("loads a module of Node when an export of it is used, and once", () => {
  const loaded: string[] = [];
  const require = (name: string): unknown => {
    loaded.push(name);
    return createRequire(import.meta.url)(name);
  };
  const module = { exports: {} as typeof import("node:tls") };
  runInNewContext(lazyModule("node:tls"), { module, require });
  expect(Object.keys(module.exports)).toEqual(Object.keys(createRequire(import.meta.url)("node:tls") as object));
  expect(loaded).toEqual([]);
  const { connect, createSecureContext } = module.exports;
  expect([typeof connect, typeof createSecureContext]).toEqual(["function", "function"]);
  expect(loaded).toEqual(["node:tls"]);
});
