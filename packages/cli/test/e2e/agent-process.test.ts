/** The agent as a process: as process 1 of a container, and with debug pages and metrics on the host. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { HungMount } from "coder-agent/os/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { ScriptedWorkspaces, stop } from "./scripted-workspaces.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const NAMESPACE = ["--pid", "--fork", "--mount-proc", "--kill-child"];
const canUnshare = spawnSync("unshare", [...NAMESPACE, "true"]).status === 0;

describe("the agent", () => {
  let workspaces: ScriptedWorkspaces;

  beforeAll(async () => {
    workspaces = await ScriptedWorkspaces.start();
  });

  afterAll(async () => {
    await workspaces?.close();
  });

  it.runIf(canUnshare)(
    "as process 1 of a container the agent leaves no zombies, unless that is switched off",
    async () => {
      const token = await workspaces.create("container", {
        agent_scripts: [{ display_name: "Last", script: "echo bye > container-bye", run_on_stop: true }],
      });
      const zombies = [
        "for i in 1 2 3 4 5; do (sleep 0.1 &); done; sleep 0.5",
        "echo $(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ') of $(cat /proc/1/comm)",
      ].join("; ");
      for (const [words, expected] of [
        [[], "0 of sh\n"],
        [["--no-reap"], "5 of "],
      ] as const) {
        rmSync(join(workspaces.deployment.folder, "home", "container-bye"), { force: true });
        const namespace = spawn("unshare", [...NAMESPACE, process.execPath, coder, "agent", ...words], {
          env: workspaces.deployment.environment("owner", {
            CODER_AGENT_URL: workspaces.deployment.url,
            CODER_AGENT_TOKEN: token,
            TMPDIR: workspaces.folder("tmp"),
          }),
          stdio: "ignore",
        });
        try {
          await workspaces.reaches("container", "ready");
          const counted = await workspaces.deployment.run(["ssh", "container", "--", zombies]);
          expect(counted.stdout).toMatch(new RegExp(`^${expected}`));
          // A container runtime sends the signal to process 1 too.
          const [first] = readFileSync(`/proc/${namespace.pid}/task/${namespace.pid}/children`, "utf8")
            .trim()
            .split(" ");
          process.kill(Number(first), "SIGTERM");
          if (namespace.exitCode === null) await once(namespace, "exit");
          expect(namespace.exitCode).toBe(0);
          expect(readFileSync(join(workspaces.deployment.folder, "home", "container-bye"), "utf8")).toBe("bye\n");
          await workspaces.reaches("container", "off");
        } finally {
          namespace.kill("SIGKILL");
        }
      }
    },
  );

  it.runIf(process.platform === "linux")(
    "the agent has threads for many file operations, and its programs know nothing of that",
    async () => {
      const agent = workspaces.startAgent(await workspaces.create("threads", {}));
      await workspaces.reaches("threads", "ready");
      expect(readdirSync(`/proc/${agent.pid}/task`).length).toBeGreaterThan(64);
      const told = await workspaces.deployment.run(["ssh", "threads", "--", "env | grep -c ^UV_"]);
      expect(told.stdout).toBe("0\n");
      await stop(agent);
    },
  );

  it.runIf(HungMount.isPossible)(
    "the agent ends when asked to while a file system does not answer",
    async ({ skip }) => {
      const mount = await HungMount.make();
      if (mount === undefined) return skip("root may not mount here");
      try {
        const agent = workspaces.startAgent(await workspaces.create("hung", {}));
        await workspaces.reaches("hung", "ready");
        const run = await workspaces.deployment.run(["ssh", "hung", "--", `#!${mount.point}/python`]);
        expect([run.code, run.stderr]).toEqual([229, expect.stringContaining("does not answer")]);
        await stop(agent);
        expect(agent.exitCode).toBe(0);
      } finally {
        await mount.close();
      }
    },
  );

  it("debug pages and metrics are served on the host only on request", async () => {
    const [debugPort, metricsPort, taken] = [await freePort(), await freePort(), await freePort()];
    const blocker = createServer().listen(taken, "127.0.0.1");
    const token = await workspaces.create("debugged", {});
    const first = workspaces.startAgent(token, {
      CODER_AGENT_DEBUG_ADDRESS: `127.0.0.1:${debugPort}`,
      CODER_AGENT_PROMETHEUS_ADDRESS: `127.0.0.1:${metricsPort}`,
    });
    await workspaces.reaches("debugged", "ready");
    const ask = async (port: number, path: string, headers: Record<string, string> = {}): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
      const text = await answer.text();
      expect(text).not.toContain(token);
      return `${answer.status} ${text}`;
    };
    expect(await ask(debugPort, "/debug/manifest")).toContain('"workspace_name":"debugged"');
    expect(await ask(debugPort, "/debug/logs")).toContain("connected to the control plane");
    expect(await ask(debugPort, "/debug/magicsock")).toContain('"udp_ports"');
    expect(await ask(debugPort, "/")).toMatch(/^404 There is: \/debug\/logs/);
    expect(await ask(metricsPort, "/metrics")).toContain('coder_agent_sessions{type="ssh"} 0');
    await stop(first);
    await expect(fetch(`http://127.0.0.1:${debugPort}/debug/logs`)).rejects.toThrow();

    // A debug address that is in use does not keep users from their workspace.
    const second = workspaces.startAgent(token, { CODER_AGENT_DEBUG_ADDRESS: `127.0.0.1:${taken}` });
    let log = "";
    second.stderr!.on("data", (chunk) => {
      log += String(chunk);
    });
    await workspaces.reaches("debugged", "ready");
    expect((await workspaces.deployment.run(["ssh", "debugged", "--", "echo in"])).stdout).toBe("in\n");
    expect(log).toMatch(/debug pages are not served/);
    blocker.close();
  });
});
