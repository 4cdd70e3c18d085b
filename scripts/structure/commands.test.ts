/**
 * Which part of the command line may import what: definitions use the framework, the work does not, and work is loaded only when
 * it is done.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { modulesOf } from "./modules.ts";

const packages = join(import.meta.dirname, "../../packages");
const modules = modulesOf(packages).filter(({ path }) => path.startsWith("cli/src/"));
/** The work of commands, and the modules that it is made of. */
const WORK =
  /^cli\/src\/(base|errors|ui|systemd|rest|diagnosis|connection|forwarding|session|copy|ssh-config|open|web-terminal|measure|hosting)\//;
const DEFINITIONS = /^cli\/src\/(commands|flags)\//;
/** A static import, which loads its target with the module, unlike a type or `import()`. */
const STATIC = /^(?:import|export) (?!type )[^;]*? from "((?:\.\.?\/)+[^"]+)";/gm;
const LOADED_LATE =
  /\/(rest|connection|session|forwarding|copy|ssh-config|open|web-terminal|measure|hosting|diagnosis|entries)\/|\/ui\/(prompt|output|table|[a-z]+-table)\.ts$/;

describe("the command line", () => {
  it("keeps flags and the framework out of its work", () => {
    const work = modules.filter(({ path }) => WORK.test(path));
    expect(work.length).toBeGreaterThan(60);
    const wrong = work.flatMap(({ path, imports, external }) => [
      ...imports.filter((target) => DEFINITIONS.test(target)).map((target) => `${path} imports ${target}`),
      ...external.filter((name) => name.startsWith("@oclif/")).map((name) => `${path} imports ${name}`),
    ]);
    expect(wrong).toEqual([]);
  });

  it("has commands load their work only when it is done", () => {
    const commands = modules.filter(({ path }) => DEFINITIONS.test(path));
    expect(commands.length).toBeGreaterThan(60);
    const wrong = commands.flatMap(({ path }) =>
      [...readFileSync(join(packages, path), "utf8").matchAll(STATIC)]
        .filter(([, target]) => LOADED_LATE.test(target!))
        .map(([, target]) => `${path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it("has commands of one definition and one mapping", () => {
    const long = modules
      .filter(({ path }) => path.startsWith("cli/src/commands/"))
      .map(({ path }) => {
        const text = readFileSync(join(packages, path), "utf8");
        return { path, lines: text.slice(text.indexOf("override async execute")).split("\n").length };
      })
      .filter(({ lines }) => lines > 50);
    expect(long).toEqual([]);
  });
});
