import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import type { FileTurn } from "../host/thread-shares.ts";
import { listDirectory } from "./list-directory.ts";

const AT_ONCE: FileTurn = (_paths, operation) => operation();

const home = mkdtempSync(join(tmpdir(), "list-directory-"));
mkdirSync(join(home, "src", "inner"), { recursive: true });
writeFileSync(join(home, "src", "a file"), "");
afterAll(() => rmSync(home, { recursive: true, force: true }));

it("lists a directory below the home directory, with absolute paths", async () => {
  expect(await listDirectory({ path: ["src"], relativity: "home" }, home, AT_ONCE)).toEqual({
    status: 200,
    body: {
      absolute_path: [...home.split("/").slice(1), "src"],
      absolute_path_string: `${home}/src`,
      contents: [
        { name: "a file", absolute_path_string: `${home}/src/a file`, is_dir: false },
        { name: "inner", absolute_path_string: `${home}/src/inner`, is_dir: true },
      ],
    },
  });
});

it("lists from the root, and the home directory when no path is given", async () => {
  const parts = home.split("/").slice(1);
  const fromRoot = await listDirectory({ path: parts, relativity: "root" }, "/nowhere", AT_ONCE);
  expect(fromRoot).toEqual(await listDirectory({}, home, AT_ONCE));
  expect(fromRoot).toMatchObject({ status: 200, body: { contents: [{ name: "src" }] } });
  expect(await listDirectory({ path: null, relativity: "root" }, home, AT_ONCE)).toMatchObject({
    status: 200,
    body: { absolute_path: [], absolute_path_string: "/" },
  });
});

it.each([
  ["a missing directory", { path: ["none"], relativity: "home" }, 404],
  ["a file", { path: ["src", "a file"], relativity: "home" }, 400],
  ["a path that is a string", { path: "src", relativity: "home" }, 400],
  ["a name that is a number", { path: [1], relativity: "home" }, 400],
  ["a NUL byte", { path: ["a\0b"], relativity: "home" }, 400],
  ["an unknown relativity", { path: [], relativity: "cwd" }, 400],
  ["no object", null, 400],
])("%s is refused", async (_, request, status) => {
  const answer = await listDirectory(request, home, AT_ONCE);
  expect(answer.status).toBe(status);
  expect(answer.body).toEqual({ message: expect.any(String) });
});
