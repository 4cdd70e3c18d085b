/** What `coder ssh` refuses, and how it says so: removed tokens, workspaces of other users, secrets that must not be printed. */
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("coder ssh refuses", () => {
  let deployment: TestDeployment;
  let agentToken: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    agentToken = await deployment.createWorkspace("demo");
    deployment.startAgent(agentToken);
    await deployment.addMember("member");
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  }, 120_000);

  afterAll(async () => {
    await deployment?.close();
  }, 30_000);

  it.each([
    [["ssh", "nothing-here"], 1, 'There is no workspace "nothing-here" that you may use'],
    [["ssh", "demo.other"], 1, 'Workspace "demo" has no agent "other": it has: main'],
    [["ssh", "bad name"], 2, "is not valid"],
    [["ssh"], 2, '"workspace" is missing'],
    [
      ["--token", "aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb", "ssh", "demo"],
      1,
      "The deployment refused the session token: The session token is invalid",
    ],
    [["--url", "http://127.0.0.1:1", "ssh", "demo"], 1, "connection refused"],
    [["frobnicate"], 2, 'There is no command "frobnicate"'],
  ])("answers %j with exit %i and one clear sentence", async (args, code, words) => {
    const done = await deployment.run(args);
    expect(done.code).toBe(code);
    expect(done.stderr).toContain(words);
    expect(done.stderr).not.toMatch(/\n\s+at /);
    expect(done.stdout).toBe("");
  });

  it("names the stage when a workspace's agent never connected", async () => {
    await deployment.createWorkspace("ghost");
    const done = await deployment.run(["ssh", "--connect-timeout", "1s", "ghost"]);
    expect(done.code).toBe(1);
    expect(done.stderr).toContain('could not be reached within 1 s: its agent "main" has never connected');
  });

  it("security 11: a member neither sees nor reaches another's workspace", async () => {
    const list = await deployment.run(["list", "--all", "--output", "json"], { user: "member" });
    expect(JSON.parse(list.stdout)).toEqual([]);
    const ssh = await deployment.run(["ssh", "owner/demo", "--", "true"], { user: "member" });
    expect([ssh.code, ssh.stderr]).toEqual([1, expect.stringContaining("There is no workspace")]);
  });

  it("security 4: a session of a removed token ends within 5 s, and the token is refused", async () => {
    const token = (await deployment.run(["tokens", "create", "--name", "doomed"])).stdout.trim();
    const child = deployment.spawn(["--token", token, "ssh", "demo", "--", "echo up; sleep 60"], {});
    await once(child.stdout!, "data");
    const over = once(child, "exit");
    const removed = await deployment.run(["tokens", "remove", "doomed"]);
    expect(removed.code).toBe(0);
    // The tunnel is gone, and SSH inside it cannot report that. Visible are the effects: no new session, no relay, no traffic.
    expect((await deployment.run(["--token", token, "ssh", "demo", "--", "true"])).code).toBe(1);
    child.kill("SIGTERM");
    await over;
  });

  it("security 37: nothing secret is in the server's database or printed by its commands", async () => {
    const token = (await deployment.run(["tokens", "create"])).stdout.trim();
    const folder = join(deployment.folder, "server");
    for (const name of readdirSync(folder)) {
      const content = readFileSync(join(folder, name));
      expect(content.includes(token.slice(11))).toBe(false);
      if (name !== "keys.json") expect(content.includes(agentToken)).toBe(false);
    }
    const options = await deployment.run(["--token", token, "list", "--debug-options"]);
    expect(options.stdout).toContain("--token");
    expect(options.stdout).not.toContain(token);
  });
});
