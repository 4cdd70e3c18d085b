/** `coder cp` through real processes. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Finished, TestDeployment } from "./deployment.ts";
import { PtyCommand } from "./pty.ts";

describe("coder cp", () => {
  let deployment: TestDeployment;
  let here: string;
  let there: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    here = join(deployment.folder, "here");
    there = join(deployment.folder, "there");
    for (const folder of [here, there]) mkdirSync(folder);
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const cp = (...args: string[]): Promise<Finished> => deployment.run(["cp", ...args]);
  const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

  it("brings a file there and back, with its mode, quietly", async () => {
    const file = join(here, "it's a file");
    writeFileSync(file, randomBytes(5_000_000), { mode: 0o640 });
    expect(await cp(file, `demo:${there}/`)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(digest(join(there, "it's a file"))).toBe(digest(file));
    expect(statSync(join(there, "it's a file")).mode & 0o777).toBe(0o640);
    expect((await cp(`demo:${there}/it's a file`, join(here, "back"))).code).toBe(0);
    expect(digest(join(here, "back"))).toBe(digest(file));
  });

  it("brings directories with -r, relative to the home directory", async () => {
    mkdirSync(join(here, "project", "src"), { recursive: true });
    writeFileSync(join(here, "project", "src", "a.txt"), "a");
    writeFileSync(join(here, "project", "b.txt"), "b");
    expect((await cp("-r", join(here, "project"), "demo:")).code).toBe(0);
    expect(readFileSync(join(deployment.folder, "home", "project", "src", "a.txt"), "utf8")).toBe("a");
    expect((await cp("-r", "demo:project", join(here, "copy"))).code).toBe(0);
    expect(readFileSync(join(here, "copy", "b.txt"), "utf8")).toBe("b");
  });

  it("copies the rest and fails when something is skipped", async () => {
    mkdirSync(join(here, "partly"));
    writeFileSync(join(here, "partly", "file"), "content");
    symlinkSync("nowhere", join(here, "partly", "dangling"));
    const done = await cp("-r", join(here, "partly"), `demo:${there}/`);
    expect([done.code, done.stdout]).toEqual([1, ""]);
    expect(done.stderr).toContain("dangling: a link to nothing");
    expect(done.stderr).toContain("1 entry was skipped");
    expect(readFileSync(join(there, "partly", "file"), "utf8")).toBe("content");
  });

  it("resumes after an interruption", async () => {
    const file = join(here, "large");
    writeFileSync(file, randomBytes(60_000_000));
    const part = join(there, "large.coder-part");
    const child = deployment.spawn(["cp", file, `demo:${there}/large`], {});
    let said = "";
    child.stderr!.on("data", (chunk) => {
      said += String(chunk);
    });
    while (!existsSync(part) || statSync(part).size < 1_000_000) await sleep(5);
    child.kill("SIGINT");
    if (child.signalCode === null) await once(child, "exit");
    expect([child.signalCode, said]).toEqual(["SIGINT", expect.stringContaining("run the same command to continue")]);
    expect(existsSync(join(there, "large"))).toBe(false);
    const again = new PtyCommand(["cp", file, `demo:${there}/large`], deployment.environment());
    expect(await again.ended()).toBe(0);
    expect(again.screen).toMatch(/1 file, 60\.0 MB in \d+\.\d s, [\d.]+ MB of it already there/);
    expect(digest(join(there, "large"))).toBe(digest(file));
    expect(existsSync(part)).toBe(false);
  });

  it("reports what cannot be done", async () => {
    for (const [args, code, words] of [
      [["a", "b"], 2, "Neither side names a workspace"],
      [["a"], 2, '"destination" is missing'],
      [["demo:none", here], 1, 'There is no file "none"'],
      [[here, "demo:"], 1, "copy it with everything in it: -r"],
      [[join(here, "back"), "demo:no/such/folder/x"], 1, "Cannot copy"],
      [[join(here, "back"), "no-such:x"], 1, "no-such"],
    ] as const) {
      const done = await cp(...args);
      expect([done.code, done.stdout], done.stderr).toEqual([code, ""]);
      expect(done.stderr).toContain(words);
    }
  });
});
