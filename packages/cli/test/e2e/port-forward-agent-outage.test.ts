/** `coder port-forward` survives an outage of the agent. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { ANSWER, exchange, ForwardedWorkspace } from "./forwarded-workspace.ts";

describe("port-forward", () => {
  let workspace: ForwardedWorkspace;

  beforeAll(async () => {
    workspace = await ForwardedWorkspace.start();
  });

  afterEach(() => workspace.endForwards());

  afterAll(async () => {
    await workspace?.close();
  });

  it("outlives an agent that was killed and started again", async () => {
    const [local, remote] = [await freePort(), await freePort()];
    const forwarding = await workspace.forward(
      "--tcp",
      `${local}:${workspace.hashingPort}`,
      "--reverse",
      `${remote}:${workspace.hashingPort}`,
    );
    expect((await exchange(local, Buffer.from("1"))).length).toBe(ANSWER.length + 32);
    workspace.agent.kill("SIGKILL");
    await once(workspace.agent, "exit");
    await forwarding.says("No answer from the workspace");
    workspace.deployment.startAgent(workspace.token);
    await forwarding.says("The workspace answers again");
    expect((await exchange(local, Buffer.from("2"))).length).toBe(ANSWER.length + 32);
    await forwarding.says("Reverse forwards are back");
    expect((await exchange(remote, Buffer.from("3"))).length).toBe(ANSWER.length + 32);
  });
});
