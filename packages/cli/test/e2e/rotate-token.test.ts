/** coder external-workspaces rotate-token: the old token is refused, its agent and open sessions end, the new one works. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Finished, TestDeployment } from "./deployment.ts";
import { PtyCommand } from "./pty.ts";

const ROTATE = ["external-workspaces", "rotate-token"] as const;

describe("coder external-workspaces rotate-token", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const tokenOf = async (workspace: string): Promise<string> => {
    const shown = await deployment.run(["external-workspaces", "agent-instructions", "-o", "json", workspace]);
    return (JSON.parse(shown.stdout) as { auth_token: string }).auth_token;
  };

  /** Everything that the command writes, and its end. */
  const ending = async (child: ChildProcess): Promise<Finished> => {
    let [stdout, stderr] = ["", ""];
    child.stdout!.on("data", (chunk) => (stdout += String(chunk)));
    child.stderr!.on("data", (chunk) => (stderr += String(chunk)));
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout, stderr };
  };

  /** Waits until the process has logged this. */
  const wrote = async (child: ChildProcess, sign: string): Promise<void> => {
    let log = "";
    for await (const chunk of child.stderr!) {
      log += String(chunk);
      if (log.includes(sign)) return;
    }
    throw new Error(`the agent ended: ${log}`);
  };

  it("ends the agent and a session of the old token, and the new token works", async () => {
    const old = await deployment.createWorkspace("demo");
    const agent = deployment.startAgent(old);
    const session = deployment.spawn(["ssh", "demo", "--", "echo ready; sleep 1000"], {});
    const sessionEnd = ending(session);
    await once(session.stdout!, "data");
    const refused = wrote(agent, "The agent token is invalid");

    const done = await deployment.run([...ROTATE, "--yes", "--output", "json", "demo"]);
    expect([done.code, done.stderr]).toEqual([0, ""]);
    const made = JSON.parse(done.stdout) as { auth_token: string; init_script: string };
    expect(made).toEqual({
      workspace_name: "demo",
      agent_name: "main",
      auth_type: "token",
      auth_token: await tokenOf("demo"),
      init_script: expect.stringContaining(made.auth_token),
    });
    expect(made.auth_token).not.toBe(old);

    await refused;
    expect((await sessionEnd).code).toBe(255);
    const again = await ending(deployment.startAgent(old));
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringContaining("The deployment refused the agent's token: The agent token is invalid"),
    ]);

    deployment.startAgent(made.auth_token);
    const back = await deployment.run(["ssh", "demo", "--", "echo back"]);
    expect([back.code, back.stdout], back.stderr).toEqual([0, "back\n"]);
  });

  it("prints the line to run, as create does", async () => {
    const old = await deployment.createWorkspace("lines");
    const done = await deployment.run([...ROTATE, "-y", "lines.main"]);
    expect(done.code, done.stderr).toBe(0);
    const shown = await deployment.run(["external-workspaces", "agent-instructions", "lines"]);
    expect(done.stdout).toBe(shown.stdout);
    expect(done.stdout).not.toContain(old);
    expect(done.stdout).toMatch(/^Run this line on the machine.*\n\n {5}.*CODER_AGENT_TOKEN=/);
  });

  it("asks first, and changes nothing without a yes", async () => {
    const token = await deployment.createWorkspace("asked");
    const silent = await deployment.run([...ROTATE, "asked"]);
    expect([silent.code, silent.stdout]).toEqual([1, ""]);
    expect(silent.stderr).toContain("answer with --yes");
    const command = new PtyCommand([...ROTATE, "asked"], deployment.environment());
    await command.sees(/Replace the token of agent "main" of workspace "owner\/asked".*\(Y\/n\)/s);
    command.type("n\r");
    await command.sees(/The token was not replaced/);
    expect(await tokenOf("asked")).toBe(token);
  });

  it("names what there is, and the next step", async () => {
    await deployment.createWorkspace("named");
    const agent = await deployment.run([...ROTATE, "--yes", "named.other"]);
    expect([agent.code, agent.stderr]).toEqual([1, expect.stringContaining("it has: main")]);
    const workspace = await deployment.run([...ROTATE, "--yes", "no-such"]);
    expect([workspace.code, workspace.stderr]).toEqual([1, expect.stringContaining('"coder list" shows yours')]);
  });
});
