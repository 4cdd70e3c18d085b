/** Scripts that fail, take too long, or run while the server is down. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentLog } from "coder-protocol/rest/agents";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";
import { DEADLINE_MS, ScriptedWorkspaces, stop } from "./scripted-workspaces.ts";

describe("scripts of a workspace", () => {
  let workspaces: ScriptedWorkspaces;

  beforeAll(async () => {
    workspaces = await ScriptedWorkspaces.start();
  });

  afterAll(async () => {
    await workspaces?.close();
  });

  it("are killed at their limit, and failures show in the lifecycle", async () => {
    const pid = join(workspaces.deployment.folder, "slow.pid");
    const slow = workspaces.startAgent(
      await workspaces.create("slow", {
        agent_scripts: [
          {
            display_name: "Slow",
            script: `trap '' TERM; echo $$ > ${pid}; sleep 60 & wait; sleep 60`,
            run_on_start: true,
            timeout_seconds: 1,
          },
          { display_name: "Bad end", script: "exit 9", run_on_stop: true },
        ],
      }),
    );
    const failing = workspaces.startAgent(
      await workspaces.create("failing", {
        agent_scripts: [
          { display_name: "Fails", script: "#!/bin/sh\nexit 3", run_on_start: true },
          { display_name: "Slow end", script: "sleep 60", run_on_stop: true, timeout_seconds: 1 },
        ],
      }),
    );
    const failed = await workspaces.reaches("failing", "start_error");
    expect(failed.health).toMatchObject({ healthy: false });
    const late = await workspaces.reaches("slow", "start_timeout");
    expect(() => process.kill(Number(readFileSync(pid, "utf8")), 0)).toThrow("ESRCH");
    await expect
      .poll(async () => (await workspaces.logsOf("slow")).map(({ output }) => output).join(), { timeout: DEADLINE_MS })
      .toContain("longer than its limit of 1 s");
    expect((await workspaces.logsOf("failing")).map(({ output }) => output).join()).toContain("exit code 3");
    expect(late.health).toMatchObject({ healthy: true });
    // Both scripts have ended, so users are let in, with a warning.
    expect((await workspaces.deployment.run(["ssh", "failing", "--", "echo in"])).stdout).toBe("in\n");

    await Promise.all([stop(slow), stop(failing)]);
    expect(
      (await workspaces.reaches("slow", "shutdown_error")).scripts.map(({ status, exit_code }) => [status, exit_code]),
    ).toEqual([
      ["timed_out", 255],
      ["exit_failure", 9],
    ]);
    expect((await workspaces.reaches("failing", "shutdown_timeout")).scripts.map(({ status }) => status)).toEqual([
      "exit_failure",
      "timed_out",
    ]);
  });

  it("run once, however often the server restarts, and their output is not lost", async () => {
    const runs = join(workspaces.deployment.folder, "runs");
    const gate = join(workspaces.deployment.folder, "gate-restart");
    const ended = join(workspaces.deployment.folder, "ended-without-server");
    const own = await TestDeployment.start();
    try {
      const made = await own.api("POST", "/api/v2/users/me/workspaces", {
        name: "steady",
        agent_scripts: [
          {
            display_name: "Once",
            script: `echo run >> ${runs}; echo before; until [ -e ${gate} ]; do sleep 0.1; done; echo after; touch ${ended}`,
            run_on_start: true,
          },
        ],
      });
      expect(made.status).toBe(201);
      const instructions = await own.run(["external-workspaces", "agent-instructions", "steady", "--output", "json"]);
      own.startAgent(JSON.parse(instructions.stdout).auth_token, { TMPDIR: workspaces.folder("tmp") });
      await expect.poll(() => existsSync(runs), { timeout: DEADLINE_MS }).toBe(true);
      expect((await own.run(["ssh", "steady", "--wait=no", "--", "true"])).code).toBe(0);
      await endServer(own);
      writeFileSync(gate, "");
      await expect.poll(() => existsSync(ended), { timeout: DEADLINE_MS }).toBe(true);
      await own.startServer();
      const outputs = async (): Promise<string[]> => {
        const shown = JSON.parse((await own.run(["show", "steady", "--output", "json"])).stdout);
        const { id, lifecycle_state } = shown.latest_build.resources[0].agents[0];
        const logs = (await (await own.api("GET", `/api/v2/workspaceagents/${id}/logs`)).json()) as AgentLog[];
        return [...logs.map(({ output }) => output), lifecycle_state];
      };
      await expect.poll(outputs, { timeout: DEADLINE_MS }).toEqual(["before", "after", "ready"]);
      expect(readFileSync(runs, "utf8")).toBe("run\n");
    } finally {
      await own.close();
    }
  });
});

/** Ends the server of this deployment, which its folder identifies. */
async function endServer(deployment: TestDeployment): Promise<void> {
  const commandLine = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      return ""; // ended after it was listed
    }
  };
  const isServer = (pid: string): boolean => commandLine(pid).includes(join(deployment.folder, "server"));
  const [pid] = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isServer(name));
  process.kill(Number(pid), "SIGKILL");
  while (isServer(pid!)) await sleep(20);
}
