/** What the deployment has an agent run, through real processes: scripts, their output, metadata, greetings, debug pages. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentLog, AgentMetadata, WorkspaceAgent } from "coder-protocol/rest/agents";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort, TestDeployment } from "./deployment.ts";
import { PtyCommand } from "./pty.ts";

const DEADLINE_MS = 30_000;
const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const NAMESPACE = ["--pid", "--fork", "--mount-proc", "--kill-child"];
const canUnshare = spawnSync("unshare", [...NAMESPACE, "true"]).status === 0;

interface Wanted {
  readonly agent_scripts?: readonly Record<string, unknown>[];
  readonly agent_metadata?: readonly Record<string, unknown>[];
  readonly agent_motd_file?: string;
}

describe("scripts of a workspace", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  /** Registers a workspace with its scripts; returns its agent's token. */
  async function create(name: string, wanted: Wanted): Promise<string> {
    const made = await deployment.api("POST", "/api/v2/users/me/workspaces", { name, ...wanted });
    if (made.status !== 201) throw new Error(await made.text());
    const told = await deployment.run(["external-workspaces", "agent-instructions", name, "--output", "json"]);
    return (JSON.parse(told.stdout) as { auth_token: string }).auth_token;
  }

  async function agentOf(name: string): Promise<WorkspaceAgent> {
    const shown = JSON.parse((await deployment.run(["show", name, "--output", "json"])).stdout);
    return shown.latest_build.resources[0].agents[0];
  }

  async function reaches(name: string, state: WorkspaceAgent["lifecycle_state"]): Promise<WorkspaceAgent> {
    const until = Date.now() + DEADLINE_MS;
    for (;;) {
      const agent = await agentOf(name);
      if (agent.lifecycle_state === state) return agent;
      if (Date.now() > until) throw new Error(`${name} is ${agent.lifecycle_state}, not ${state}`);
      await sleep(100);
    }
  }

  async function logsOf(name: string): Promise<AgentLog[]> {
    const agent = await agentOf(name);
    return (await (await deployment.api("GET", `/api/v2/workspaceagents/${agent.id}/logs`)).json()) as AgentLog[];
  }

  const folder = (name: string): string => {
    const path = join(deployment.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  };

  /** Leaves nothing behind in the machine's own directory for temporary files. */
  const startAgent = (token: string, extra: NodeJS.ProcessEnv = {}): ChildProcess =>
    deployment.startAgent(token, { TMPDIR: folder("tmp"), ...extra });

  it("run side by side at the start, hold up logins, and run at the end", async () => {
    const logDirectory = folder("logs-full");
    const gate = join(deployment.folder, "gate");
    const token = await create("full", {
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
    const agentProcess = startAgent(token, { CODER_AGENT_LOG_DIR: logDirectory });
    const starting = await reaches("full", "starting");
    expect(starting.scripts.map(({ display_name }) => display_name)).toEqual(["Hello", "Gate", "Last", "Nightly"]);
    expect(starting.startup_script_behavior).toBe("blocking");

    const waiting = deployment.run(["ssh", "full", "--", "echo in; their-tool"]);
    // The other script is not held up: its output arrives while this one waits.
    await expect.poll(async () => (await logsOf("full")).length, { timeout: DEADLINE_MS }).toBe(302);
    expect((await agentOf("full")).lifecycle_state).toBe("starting");
    writeFileSync(gate, "");
    const login = await waiting;
    expect(login.stdout).toBe("in\ntool of the script\n");
    // What the scripts print is shown while they are waited for, each line once.
    expect(login.stderr.match(/^line \d+$/gm)).toHaveLength(300);
    expect(login.stderr).toContain("trouble\n");

    const ready = await reaches("full", "ready");
    await expect.poll(async () => (await logsOf("full")).length, { timeout: DEADLINE_MS }).toBe(303);
    const [hello, gateScript] = ready.scripts;
    const sources = new Map(ready.log_sources.map(({ id, display_name }) => [id, display_name]));
    expect(sources.get(hello!.log_source_id)).toBe("Hello");
    const logs = await logsOf("full");
    const home = join(deployment.folder, "home");
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
    const off = await reaches("full", "off");
    expect(off.scripts.map(({ status, exit_code }) => [status, exit_code])).toEqual([
      ["ok", 0],
      ["ok", 0],
      ["ok", 0],
      [undefined, undefined],
    ]);
    expect((await logsOf("full")).slice(-2).map(({ output }) => output)).toEqual(["going", "gone"]);

    // The next run has the logs for itself.
    const again = startAgent(token);
    await reaches("full", "ready");
    await expect.poll(async () => (await logsOf("full")).length, { timeout: DEADLINE_MS }).toBe(303);
    expect((await logsOf("full"))[0]!.id).toBe(logs.length + 2 + 1);
    await stop(again);
  });

  it("are killed at their limit, and failures show in the lifecycle", async () => {
    const pid = join(deployment.folder, "slow.pid");
    const slow = startAgent(
      await create("slow", {
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
    const failing = startAgent(
      await create("failing", {
        agent_scripts: [
          { display_name: "Fails", script: "#!/bin/sh\nexit 3", run_on_start: true },
          { display_name: "Slow end", script: "sleep 60", run_on_stop: true, timeout_seconds: 1 },
        ],
      }),
    );
    const failed = await reaches("failing", "start_error");
    expect(failed.health).toMatchObject({ healthy: false });
    const late = await reaches("slow", "start_timeout");
    expect(() => process.kill(Number(readFileSync(pid, "utf8")), 0)).toThrow("ESRCH");
    await expect
      .poll(async () => (await logsOf("slow")).map(({ output }) => output).join(), { timeout: DEADLINE_MS })
      .toContain("longer than its limit of 1 s");
    expect((await logsOf("failing")).map(({ output }) => output).join()).toContain("exit code 3");
    expect(late.health).toMatchObject({ healthy: true });
    // Both are ended scripts: people get in, with a warning.
    expect((await deployment.run(["ssh", "failing", "--", "echo in"])).stdout).toBe("in\n");

    await Promise.all([stop(slow), stop(failing)]);
    expect(
      (await reaches("slow", "shutdown_error")).scripts.map(({ status, exit_code }) => [status, exit_code]),
    ).toEqual([
      ["timed_out", 255],
      ["exit_failure", 9],
    ]);
    expect((await reaches("failing", "shutdown_timeout")).scripts.map(({ status }) => status)).toEqual([
      "exit_failure",
      "timed_out",
    ]);
  });

  it("run once, however often the server restarts, and their output is not lost", async () => {
    const runs = join(deployment.folder, "runs");
    const gate = join(deployment.folder, "gate-restart");
    const ended = join(deployment.folder, "ended-without-server");
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
      const told = await own.run(["external-workspaces", "agent-instructions", "steady", "--output", "json"]);
      own.startAgent(JSON.parse(told.stdout).auth_token, { TMPDIR: folder("tmp") });
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

  it("collect metadata that can be watched", async () => {
    const counter = join(deployment.folder, "counter");
    const token = await create("watched", {
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
    startAgent(token);
    const agent = await reaches("watched", "ready");
    const answer = await deployment.api("GET", `/api/v2/workspaceagents/${agent.id}/watch-metadata`);
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
    await deployment.addMember("stranger");
    const strangers = await fetch(`${deployment.url}/api/v2/workspaceagents/${agent.id}/watch-metadata`, {
      headers: {
        "Coder-Session-Token": (await deployment.run(["tokens", "create"], { user: "stranger" })).stdout.trim(),
      },
    });
    expect(strangers.status).toBe(404);
  });

  it("greet people at a terminal, not commands, and not who wants to be left in peace", async () => {
    const motd = join(deployment.folder, "motd");
    writeFileSync(motd, "Welcome to the machine.\nMind the gap.\n");
    startAgent(await create("greeting", { agent_motd_file: motd }), { SHELL: "/bin/sh" });
    await reaches("greeting", "ready");
    const login = async (): Promise<string> => {
      const shell = new PtyCommand(["ssh", "greeting"], deployment.environment());
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
    expect((await deployment.run(["ssh", "greeting", "--", "echo hi"])).stdout).toBe("hi\n");
    const hush = join(deployment.folder, "home", ".hushlogin");
    writeFileSync(hush, "");
    expect(await login()).not.toContain("Welcome");
    rmSync(hush);
    rmSync(motd);
    expect(await login()).not.toContain("Welcome");
  });

  it.runIf(canUnshare)("as process 1 of a container the agent leaves no zombies, unless it is told to", async () => {
    const token = await create("container", {
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
      rmSync(join(deployment.folder, "home", "container-bye"), { force: true });
      const namespace = spawn("unshare", [...NAMESPACE, process.execPath, coder, "agent", ...words], {
        env: deployment.environment("owner", {
          CODER_AGENT_URL: deployment.url,
          CODER_AGENT_TOKEN: token,
          TMPDIR: folder("tmp"),
        }),
        stdio: "ignore",
      });
      try {
        await reaches("container", "ready");
        const counted = await deployment.run(["ssh", "container", "--", zombies]);
        expect(counted.stdout).toMatch(new RegExp(`^${expected}`));
        // What a container's runtime does: the signal goes to process 1.
        const [first] = readFileSync(`/proc/${namespace.pid}/task/${namespace.pid}/children`, "utf8").trim().split(" ");
        process.kill(Number(first), "SIGTERM");
        if (namespace.exitCode === null) await once(namespace, "exit");
        expect(namespace.exitCode).toBe(0);
        expect(readFileSync(join(deployment.folder, "home", "container-bye"), "utf8")).toBe("bye\n");
        await reaches("container", "off");
      } finally {
        namespace.kill("SIGKILL");
      }
    }
  });

  it("debug pages and metrics are served on the host only when asked for", async () => {
    const [debugPort, metricsPort, taken] = [await freePort(), await freePort(), await freePort()];
    const blocker = createServer().listen(taken, "127.0.0.1");
    const token = await create("debugged", {});
    const first = startAgent(token, {
      CODER_AGENT_DEBUG_ADDRESS: `127.0.0.1:${debugPort}`,
      CODER_AGENT_PROMETHEUS_ADDRESS: `127.0.0.1:${metricsPort}`,
    });
    await reaches("debugged", "ready");
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

    // An address that is taken does not keep people from their workspace.
    const second = startAgent(token, { CODER_AGENT_DEBUG_ADDRESS: `127.0.0.1:${taken}` });
    let log = "";
    second.stderr!.on("data", (chunk) => {
      log += String(chunk);
    });
    await reaches("debugged", "ready");
    expect((await deployment.run(["ssh", "debugged", "--", "echo in"])).stdout).toBe("in\n");
    expect(log).toMatch(/debug pages are not served/);
    blocker.close();
  });
});

async function stop(agent: ChildProcess): Promise<void> {
  agent.kill("SIGTERM");
  if (agent.exitCode === null) await once(agent, "exit");
}

/** Ends the deployment's own server, which is known by the folder that it was given. */
async function endServer(deployment: TestDeployment): Promise<void> {
  const commandLine = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      return ""; // ended since it was listed
    }
  };
  const isServer = (pid: string): boolean => commandLine(pid).includes(join(deployment.folder, "server"));
  const [pid] = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isServer(name));
  process.kill(Number(pid), "SIGKILL");
  while (isServer(pid!)) await sleep(20);
}
