import { afterEach, expect, test, vi } from "vitest";

const arch = process.arch;
afterEach(() => {
  Object.defineProperty(process, "arch", { value: arch });
  vi.resetModules();
});

test.each([
  ["arm", "prlimit64"], // musl
  ["x64", "prlimit64"],
  ["arm", "prlimit"],
])("on %s, programs are started with a C library that lacks %s", async (machine, missing) => {
  Object.defineProperty(process, "arch", { value: machine });
  vi.resetModules();
  const { bindSpawner } = await import("./posix-spawn.ts");
  const bound: string[] = [];
  const func = (declaration: string): (() => number) => {
    const [, name = ""] = /(\w+)\(/.exec(declaration)!;
    if (name === missing) throw new Error(`Cannot find function '${name}' in shared library`);
    bound.push(name);
    return () => 0;
  };
  expect(() => bindSpawner({ func, address: () => 0n }, () => 0)).not.toThrow();
  expect(bound).toContain(missing === "prlimit" ? "prlimit64" : "prlimit");
});
