/** Scripts that an agent runs for the deployment, through real processes: order, logins, output, limits. */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEADLINE_MS, ScriptedWorkspaces, stop } from "./scripted-workspaces.ts";

describe("scripts of a workspace", () => {
  let workspaces: ScriptedWorkspaces;

  beforeAll(async () => {
    workspaces = await ScriptedWorkspaces.start();
  });

  afterAll(async () => {
    await workspaces?.close();
  });

  it("run in parallel at the start, delay logins, and run at the end", async () => {
    const logDirectory = workspaces.folder("logs-full");
    const gate = join(workspaces.deployment.folder, "gate");
    const token = await workspaces.create("full", {
      agent_scripts: [
        {
          display_name: "Hello",
          script: [
            'echo "hello from $CODER_WORKSPACE_NAME in $(pwd)"',
            "echo trouble >&2",
            `for i in $(seq 1 300); do echo "line $i"; done`,
            `printf '#!/bin/sh\\necho tool of the script\\n' > "$CODER_SCRIPT_BIN_DIR/their-tool"`,
            'chmod +x "$CODER_SCRIPT_BIN_DIR/their-tool"',
          ].join("\n"),
          log_path: "hello.log",
          run_on_start: true,
        },
        {
          display_name: "Gate",
          script: `until [ -e ${gate} ]; do sleep 0.1; done; echo opened`,
          run_on_start: true,
          start_blocks_login: true,
        },
        {
          display_name: "Last",
          script: "echo going; echo bye > last-words; sleep 0.2; echo gone",
          run_on_stop: true,
        },
        { display_name: "Nightly", script: "true", cron: "0 0 * * *" },
      ],
    });
    const agentProcess = workspaces.startAgent(token, { CODER_AGENT_LOG_DIR: logDirectory });
    const starting = await workspaces.reaches("full", "starting");
    expect(starting.scripts.map(({ display_name }) => display_name)).toEqual(["Hello", "Gate", "Last", "Nightly"]);
    expect(starting.startup_script_behavior).toBe("blocking");

    const waiting = workspaces.deployment.spawn(["ssh", "full", "--", "echo in; their-tool"], {});
    const login = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      waiting[name]!.on("data", (chunk) => {
        login[name] += String(chunk);
      });
    }
    // The other script is not delayed: its output arrives while this one waits.
    await expect.poll(async () => (await workspaces.logsOf("full")).length, { timeout: DEADLINE_MS }).toBe(302);
    expect((await workspaces.agentOf("full")).lifecycle_state).toBe("starting");
    await expect.poll(() => login.stderr, { timeout: DEADLINE_MS }).toContain("line 300\n");
    writeFileSync(gate, "");
    await once(waiting, "close");
    expect(login.stdout).toBe("in\ntool of the script\n");
    // The scripts' output is shown while the login waits, each line once.
    expect(login.stderr.match(/^line \d+$/gm)).toHaveLength(300);
    expect(login.stderr).toContain("trouble\n");

    const ready = await workspaces.reaches("full", "ready");
    await expect.poll(async () => (await workspaces.logsOf("full")).length, { timeout: DEADLINE_MS }).toBe(303);
    const [hello, gateScript] = ready.scripts;
    const sources = new Map(ready.log_sources.map(({ id, display_name }) => [id, display_name]));
    expect(sources.get(hello!.log_source_id)).toBe("Hello");
    const logs = await workspaces.logsOf("full");
    const home = join(workspaces.deployment.folder, "home");
    const info = logs.filter((log) => log.source_id === hello!.log_source_id && log.level === "info");
    expect(info.map(({ output }) => output)).toEqual([
      `hello from full in ${home}`,
      ...Array.from({ length: 300 }, (_, i) => `line ${i + 1}`),
    ]);
    expect(logs.filter(({ level }) => level === "error").map(({ output }) => output)).toEqual(["trouble"]);
    expect(logs.filter((log) => log.source_id === gateScript!.log_source_id)).toMatchObject([{ output: "opened" }]);
    expect(readFileSync(join(logDirectory, "hello.log"), "utf8")).toContain("line 300\n");
    const agentLog = readFileSync(join(logDirectory, "coder-agent.log"), "utf8");
    expect(agentLog).toMatch(/does not run scripts on a schedule.*Nightly|Nightly.*does not run scripts on a schedule/);

    await stop(agentProcess);
    expect(agentProcess.exitCode).toBe(0);
    expect(readFileSync(join(home, "last-words"), "utf8")).toBe("bye\n");
    const off = await workspaces.reaches("full", "off");
    expect(off.scripts.map(({ status, exit_code }) => [status, exit_code])).toEqual([
      ["ok", 0],
      ["ok", 0],
      ["ok", 0],
      [undefined, undefined],
    ]);
    expect((await workspaces.logsOf("full")).slice(-2).map(({ output }) => output)).toEqual(["going", "gone"]);

    // Ensures that the next run does not share the logs.
    const again = workspaces.startAgent(token);
    await workspaces.reaches("full", "ready");
    await expect.poll(async () => (await workspaces.logsOf("full")).length, { timeout: DEADLINE_MS }).toBe(303);
    expect((await workspaces.logsOf("full"))[0]!.id).toBe(logs.length + 2 + 1);
    await stop(again);
  });
});
