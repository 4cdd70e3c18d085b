/** Two agents with one token: the conflict is reported, and the workspace shows the agent that stays. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

it("after a second agent with the same token came and went, the first is connected and ready, and sessions work", async () => {
  const deployment = await TestDeployment.start();
  try {
    const token = await deployment.createWorkspace("demo");
    deployment.startAgent(token);
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    const agentState = async (): Promise<string[]> => {
      const shown = JSON.parse((await deployment.run(["show", "demo", "--output", "json"])).stdout);
      const { status, lifecycle_state, health } = shown.latest_build.resources[0].agents[0];
      return [status, lifecycle_state, health.reason ?? "healthy"];
    };
    const second = deployment.startAgent(token);
    let log = "";
    for (const stream of [second.stdout, second.stderr]) stream?.on("data", (text) => (log += String(text)));
    await expect
      .poll(async () => (await agentState())[2], { timeout: 60_000 })
      .toMatch(/^several agents use the token of this one \(from 127\.0\.0\.1\): stop all but one$/);
    expect((await deployment.run(["show", "demo"])).stdout).toContain("several agents use the token");
    await expect.poll(() => log, { timeout: 60_000 }).toMatch(/peer ID overwritten|Another agent with the same token/);
    second.kill("SIGTERM");
    await once(second, "exit");
    await expect
      .poll(async () => (await agentState()).slice(0, 2), { timeout: 60_000 })
      .toEqual(["connected", "ready"]);
    expect((await deployment.run(["ssh", "demo", "--", "echo", "here"])).stdout).toBe("here\n");
  } finally {
    await deployment.close();
  }
}, 120_000);
