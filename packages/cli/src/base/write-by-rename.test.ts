import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { writeByRename } from "./write-by-rename.ts";

function folder() {
  const path = mkdtempSync(join(tmpdir(), "coder-rename-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

it("replaces the content and sets the mode whatever the umask is", () => {
  using at = folder();
  const file = join(at.path, "config");
  writeFileSync(file, "old", { mode: 0o600 });
  writeByRename(file, Buffer.from("new"), { mode: 0o666, lasting: true });
  expect(readFileSync(file, "utf8")).toBe("new");
  expect(statSync(file).mode & 0o777).toBe(0o666);
  expect(readdirSync(at.path)).toEqual(["config"]);
});

it("leaves nothing behind when the file cannot be replaced", () => {
  using at = folder();
  expect(() => writeByRename(join(at.path, "absent", "config"), "new", { mode: 0o600, lasting: false })).toThrow(
    "ENOENT",
  );
  expect(() => writeByRename(at.path, "new", { mode: 0o600, lasting: false })).toThrow();
  expect(readdirSync(at.path)).toEqual([]);
});

/** Mounting needs a machine that lets its users have namespaces. */
const mounts = (() => {
  try {
    execFileSync("unshare", ["-rm", "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

it.runIf(mounts)("keeps the old file whole on a disk with room for a part of the new one", () => {
  using at = folder();
  const script = `
    import { readFileSync, readdirSync, writeFileSync } from "node:fs";
    const { writeByRename } = await import(${JSON.stringify(join(import.meta.dirname, "write-by-rename.ts"))});
    const [folder] = process.argv.slice(1);
    writeFileSync(folder + "/config", "x".repeat(4096));
    writeFileSync(folder + "/filler", Buffer.alloc(8192));
    let code = "none";
    try {
      writeByRename(folder + "/config", "y".repeat(8192), { mode: 0o600, lasting: true });
    } catch (error) {
      code = error.code;
    }
    const kept = readFileSync(folder + "/config", "latin1");
    console.log(JSON.stringify([code, kept === "x".repeat(4096), readdirSync(folder)]));
  `;
  const shown = execFileSync(
    "unshare",
    [
      "-rm",
      "sh",
      "-c",
      'mount -t tmpfs -o size=16k none "$1" && exec "$2" --input-type=module -e "$3" "$1"',
      "sh",
      at.path,
      process.execPath,
      script,
    ],
    { encoding: "utf8" },
  );
  expect(JSON.parse(shown)).toEqual(["ENOSPC", true, ["config", "filler"]]);
});
