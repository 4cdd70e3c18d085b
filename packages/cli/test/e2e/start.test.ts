/** `npm start` without a terminal. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { answers, demonstrationEnvironment, LAST, START } from "./demonstration.ts";

it("carries data both ways, names the install line of a server that stays, and leaves nothing running", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-start-"));
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [START], { env: demonstrationEnvironment(folder) });
    const url = /Starting the control plane at (http:\/\/coder\.localhost:\d+)/.exec(stdout)?.[1];
    expect(stdout).toMatch(/uname -a in the workspace: \S+/);
    expect(stdout.match(/ 4 MiB in .*, SHA-256 equal/g)).toHaveLength(2);
    expect(stdout).toMatch(LAST);
    expect(stdout.slice(stdout.indexOf("To install"))).not.toContain("coder.localhost");
    expect(await answers(url!)).toBe(false);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
