/** `coder start`, `stop`, `restart` and `update` on an external workspace. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("starting and stopping a workspace", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const run = (...args: string[]) => deployment.run(args);

  it("explains the effect on an external machine, and that it is done already", async () => {
    expect(await run("start", "demo")).toEqual({
      code: 0,
      stdout: "",
      stderr: 'Workspace "demo" is already running\n',
    });
    const stopped = await run("stop", "--yes", "demo");
    expect([stopped.code, stopped.stderr]).toEqual([0, expect.stringContaining('Workspace "demo" is stopped\n')]);
    expect(stopped.stderr).toContain("does not control, runs on");
    expect((await run("stop", "-y", "demo")).stderr).toBe('Workspace "demo" is already stopped\n');
    const refused = await run("ssh", "--disable-autostart", "demo", "--", "true");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("coder start demo")]);
    const started = await run("start", "--reason", "vscode_connection", "demo");
    expect([started.code, started.stderr]).toEqual([0, expect.stringContaining('Workspace "demo" is started\n')]);
    expect(started.stderr).toContain("coder external-workspaces agent-instructions demo");
    expect((await run("ssh", "demo", "--", "echo back")).stdout).toBe("back\n");
  });

  it("restarts, and updates nothing that is up to date", async () => {
    const restarted = await run("restart", "--yes", "demo");
    expect(restarted.code).toBe(0);
    expect(restarted.stderr).toMatch(/is stopped[\s\S]*is started/);
    expect((await run("update", "demo")).stderr).toBe('Workspace "demo" is already running\n');
  });

  it("reports what cannot be done", async () => {
    const unknown = await run("stop", "--yes", "no-such");
    expect([unknown.code, unknown.stdout]).toEqual([1, ""]);
    expect((await run("stop", "demo")).stderr).toContain("answer with --yes");
    expect((await run("start", "$(evil)")).code).toBe(2);
    expect((await run("start", "--reason", "because", "demo")).code).toBe(2);
  });
});
