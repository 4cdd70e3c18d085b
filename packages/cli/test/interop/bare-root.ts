/** A root file system with a few programs and their libraries, and nothing else. */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { find } from "./release.ts";

/** @param others Executables that will be added, whose libraries are needed. */
export function makeBareRoot(root: string, programs: readonly string[], others: readonly string[] = []): void {
  for (const path of ["proc", "dev", "etc", "usr/bin"]) mkdirSync(join(root, path), { recursive: true });
  mkdirSync(join(root, "tmp"));
  chmodSync(join(root, "tmp"), 0o1777);
  symlinkSync("usr/bin", join(root, "bin"));
  const paths = programs.map((name) => find(name)!);
  for (const path of paths) copyFileSync(realpathSync(path), join(root, "usr/bin", path.split("/").at(-1)!));
  for (const path of [...paths, ...others]) {
    for (const [library] of execFileSync("ldd", [path], { encoding: "utf8" }).matchAll(/\/\S+/g)) {
      const target = join(root, library);
      if (existsSync(target)) continue;
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(realpathSync(library), target);
    }
  }
}
