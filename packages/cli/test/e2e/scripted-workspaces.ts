/** A deployment with workspaces whose agents run scripts, collect metadata and greet users. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentLog, WorkspaceAgent } from "coder-protocol/rest/agents";
import { TestDeployment } from "./deployment.ts";

export const DEADLINE_MS = 30_000;

interface Wanted {
  readonly agent_scripts?: readonly Record<string, unknown>[];
  readonly agent_metadata?: readonly Record<string, unknown>[];
  readonly agent_motd_file?: string;
}

export class ScriptedWorkspaces {
  readonly deployment: TestDeployment;

  static async start(): Promise<ScriptedWorkspaces> {
    return new ScriptedWorkspaces(await TestDeployment.start());
  }

  private constructor(deployment: TestDeployment) {
    this.deployment = deployment;
  }

  close(): Promise<void> {
    return this.deployment.close();
  }

  /** Registers a workspace with its scripts; returns its agent's token. */
  async create(name: string, wanted: Wanted): Promise<string> {
    const made = await this.deployment.api("POST", "/api/v2/users/me/workspaces", { name, ...wanted });
    if (made.status !== 201) throw new Error(await made.text());
    const instructions = await this.deployment.run([
      "external-workspaces",
      "agent-instructions",
      name,
      "--output",
      "json",
    ]);
    return (JSON.parse(instructions.stdout) as { auth_token: string }).auth_token;
  }

  async agentOf(name: string): Promise<WorkspaceAgent> {
    const answer = await this.deployment.api("GET", `/api/v2/users/me/workspace/${name}`);
    const workspace = (await answer.json()) as { latest_build: { resources: { agents: WorkspaceAgent[] }[] } };
    return workspace.latest_build.resources[0]!.agents[0]!;
  }

  async reaches(name: string, state: WorkspaceAgent["lifecycle_state"]): Promise<WorkspaceAgent> {
    const until = Date.now() + DEADLINE_MS;
    for (;;) {
      const agent = await this.agentOf(name);
      if (agent.lifecycle_state === state) return agent;
      if (Date.now() > until) throw new Error(`${name} is ${agent.lifecycle_state}, not ${state}`);
      await sleep(100);
    }
  }

  async logsOf(name: string): Promise<AgentLog[]> {
    const { id } = await this.agentOf(name);
    return (await (await this.deployment.api("GET", `/api/v2/workspaceagents/${id}/logs`)).json()) as AgentLog[];
  }

  folder(name: string): string {
    const path = join(this.deployment.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Keeps temporary files out of the machine's own directory. */
  startAgent(token: string, extra: NodeJS.ProcessEnv = {}): ChildProcess {
    return this.deployment.startAgent(token, { TMPDIR: this.folder("tmp"), ...extra });
  }
}

export async function stop(agent: ChildProcess): Promise<void> {
  agent.kill("SIGTERM");
  if (agent.exitCode === null) await once(agent, "exit");
}
