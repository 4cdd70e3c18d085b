/** `npm start` on a terminal. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { answers, demonstrationEnvironment, LAST, START } from "./demonstration.ts";
import { PtyCommand } from "./pty.ts";

it("says that this is the workspace, how to leave, and what to try; ends with the shell, also the second time", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-start-"));
  const environment = demonstrationEnvironment(folder);
  try {
    for (const code of [3, 0]) {
      const started = new PtyCommand([], environment, { rows: 50, cols: 200 }, {}, START);
      try {
        const [, url] = await started.sees(/In a browser: (http:\/\/coder\.localhost:\d+)/);
        for (const text of [
          'inside the workspace "demo"',
          'Leave it with "exit" or Ctrl-D',
          "port-forward demo",
          folder,
        ])
          expect(started.screen).toContain(text);
        expect(readFileSync(join(folder, "password"), "utf8")).not.toBe("");
        started.type(`echo workspace=$CODER_WORKSPACE_NAME; exit ${code}\r`);
        await started.sees(/workspace=demo\s/);
        expect(await started.ended()).toBe(code);
        expect(started.screen).toContain("You left the workspace");
        expect(started.screen).toMatch(LAST);
        expect(await answers(url!)).toBe(false);
      } finally {
        started.kill("SIGTERM");
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
