/** Metadata and greetings of a workspace, through real processes. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentMetadata } from "coder-protocol/rest/agents";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PtyCommand } from "./pty.ts";
import { DEADLINE_MS, ScriptedWorkspaces } from "./scripted-workspaces.ts";

describe("a workspace", () => {
  let workspaces: ScriptedWorkspaces;

  beforeAll(async () => {
    workspaces = await ScriptedWorkspaces.start();
  });

  afterAll(async () => {
    await workspaces?.close();
  });

  it("collect metadata that can be watched", async () => {
    const counter = join(workspaces.deployment.folder, "counter");
    const token = await workspaces.create("watched", {
      agent_metadata: [
        {
          key: "count",
          display_name: "Count",
          script: `echo x >> ${counter}; wc -l < ${counter}`,
          interval_seconds: 1,
        },
        { key: "broken", script: "echo partly; exit 4", interval_seconds: 60 },
        { key: "long", script: "head -c 5000 /dev/zero | tr '\\0' a", interval_seconds: 60 },
        { key: "endless", script: "sleep 60", interval_seconds: 60, timeout_seconds: 1 },
      ],
    });
    workspaces.startAgent(token);
    const agent = await workspaces.reaches("watched", "ready");
    const answer = await workspaces.deployment.api("GET", `/api/v2/workspaceagents/${agent.id}/watch-metadata`);
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    let latest: AgentMetadata[] = [];
    const counts = new Set<string>();
    let text = "";
    for await (const chunk of answer.body!) {
      text += Buffer.from(chunk).toString("utf8");
      const events = text.split("\n\n");
      text = events.pop()!;
      for (const event of events) {
        const data = /^event: data\ndata: (.*)$/.exec(event)?.[1];
        if (data === undefined) continue;
        latest = JSON.parse(data);
        counts.add(latest[0]!.result.value);
      }
      if (counts.size >= 3 && latest.every(({ result }) => result.value + result.error !== "")) break;
    }
    expect(latest.map(({ description }) => description.key)).toEqual(["count", "broken", "long", "endless"]);
    expect(latest[0]!.description).toMatchObject({ display_name: "Count", interval: 1 });
    expect(latest[0]!.result.error).toBe("");
    expect(Number(latest[0]!.result.value)).toBeGreaterThanOrEqual(2);
    expect(latest[1]!.result).toMatchObject({ value: "partly", error: "exit code 4" });
    expect(latest[2]!.result.value).toBe("a".repeat(2048));
    expect(latest[2]!.result.error).toContain("cut from 5000");
    expect(latest[3]!.result).toMatchObject({ value: "", error: "timed out after 1 s" });
    expect(Date.now() - Date.parse(latest[0]!.result.collected_at)).toBeLessThan(DEADLINE_MS);
    await workspaces.deployment.addMember("stranger");
    const strangers = await fetch(`${workspaces.deployment.url}/api/v2/workspaceagents/${agent.id}/watch-metadata`, {
      headers: {
        "Coder-Session-Token": (
          await workspaces.deployment.run(["tokens", "create"], { user: "stranger" })
        ).stdout.trim(),
      },
    });
    expect(strangers.status).toBe(404);
  });

  it("greet users at a terminal, but not commands, and not users with .hushlogin", async () => {
    const motd = join(workspaces.deployment.folder, "motd");
    writeFileSync(motd, "Welcome to the machine.\nMind the gap.\n");
    workspaces.startAgent(await workspaces.create("greeting", { agent_motd_file: motd }), { SHELL: "/bin/sh" });
    await workspaces.reaches("greeting", "ready");
    const login = async (): Promise<string> => {
      const shell = new PtyCommand(["ssh", "greeting"], workspaces.deployment.environment());
      try {
        shell.type("echo a''live\r");
        await shell.sees(/alive/);
        shell.type("exit\r");
        await shell.ended();
        return shell.screen;
      } finally {
        shell.kill("SIGKILL");
      }
    };
    expect(await login()).toMatch(/Welcome to the machine\.\s+Mind the gap\.\s/);
    expect((await workspaces.deployment.run(["ssh", "greeting", "--", "echo hi"])).stdout).toBe("hi\n");
    const hush = join(workspaces.deployment.folder, "home", ".hushlogin");
    writeFileSync(hush, "");
    expect(await login()).not.toContain("Welcome");
    rmSync(hush);
    rmSync(motd);
    expect(await login()).not.toContain("Welcome");
  });
});
