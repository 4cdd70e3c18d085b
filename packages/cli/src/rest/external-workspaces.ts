import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { type AgentRef, chooseAgent, findWorkspace, type WorkspaceRef } from "coder-client/rest/workspaces";
import { parseWorkspaceName } from "coder-protocol/names";
import { printableLines } from "../base/text.ts";
import { UserError } from "../errors/user-error.ts";

/** How to start the agent of a workspace on the user's own machine. The JSON keys are those of a stock CLI. */
export interface AgentInstructions {
  readonly workspace_name: string;
  readonly agent_name: string;
  readonly auth_type: "token";
  readonly auth_token: string;
  readonly init_script: string;
}

export async function createExternalWorkspace(
  deployment: Deployment,
  owner: string,
  name: string,
  { agentName, apps = [] }: { readonly agentName?: string | undefined; readonly apps?: readonly object[] },
  signal: AbortSignal,
): Promise<AgentInstructions> {
  await deployment.call(`/api/v2/users/${encodeURIComponent(owner)}/workspaces`, {
    method: "POST",
    body: {
      name,
      agent_name: agentName,
      apps: apps.length === 0 ? undefined : apps,
    },
    signal,
  });
  return agentInstructions(deployment, owner === "me" ? name : `${owner}/${name}`, signal);
}

export async function agentInstructions(
  deployment: Deployment,
  name: string,
  signal: AbortSignal,
): Promise<AgentInstructions> {
  const external = await findExternalAgent(deployment, name, signal);
  return instructionsOf(external, await deployment.call(externalAgentPath(external, "credentials"), { signal }));
}

/** An agent of an external workspace, as the user named it. */
export interface ExternalAgent {
  readonly workspace: WorkspaceRef;
  readonly agent: AgentRef;
}

/** Rejects with ERR_NOT_FOUND, which lists the existing agents. */
export async function findExternalAgent(
  deployment: Deployment,
  name: string,
  signal: AbortSignal,
): Promise<ExternalAgent> {
  const parsed = parseWorkspaceName(name);
  const workspace = await findWorkspace(deployment, parsed, { signal });
  return { workspace, agent: chooseAgent(workspace, parsed.agent) };
}

/** Replaces the agent's token, which ends the agent's session, and returns how to start the agent with the new one. */
export async function rotateAgentToken(
  deployment: Deployment,
  external: ExternalAgent,
  signal: AbortSignal,
): Promise<AgentInstructions> {
  const { workspace, agent } = external;
  try {
    return instructionsOf(
      external,
      await deployment.call(externalAgentPath(external, "rotate"), { method: "POST", signal }),
    );
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "ERR_NOT_FOUND") throw error;
    throw new UserError(`The token of agent "${agent.name}" was not replaced`, {
      why: "the deployment cannot do that, or the agent was deleted meanwhile",
      next: [
        `coder show ${workspace.ownerName}/${workspace.name}`,
        "or delete the workspace, which makes the token worthless, and register its machine again",
      ],
      code: "ERR_NOT_FOUND",
      cause: error,
    });
  }
}

function externalAgentPath({ workspace, agent }: ExternalAgent, what: "credentials" | "rotate"): string {
  return `/api/v2/workspaces/${workspace.id}/external-agent/${encodeURIComponent(agent.name)}/${what}`;
}

function instructionsOf({ workspace, agent }: ExternalAgent, answer: unknown): AgentInstructions {
  const body = answer as { agent_token?: unknown; command?: unknown } | undefined;
  if (typeof body?.agent_token !== "string") {
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "the deployment's answer has no agent token");
  }
  return {
    workspace_name: workspace.name,
    agent_name: agent.name,
    auth_type: "token",
    auth_token: body.agent_token,
    init_script: typeof body.command === "string" ? body.command : "",
  };
}

/** For people: the command that turns a machine into the workspace, and what to do if `coder` is already installed there. */
export function renderInstructions(deployment: Deployment, instructions: AgentInstructions): string {
  const url = deployment.url.href.replace(/\/$/, "");
  const name = instructions.workspace_name;
  const script = instructions.init_script.trimStart();
  const oneLine =
    script === ""
      ? []
      : [
          `Run this line on the machine that becomes workspace "${name}":`,
          "",
          `     ${script}`,
          "",
          ...(script.endsWith(" sh")
            ? ["It installs the coder command and starts the agent; with -s -- --service appended, as a service."]
            : ["It installs the coder command and starts the agent."]),
          "",
        ];
  const lines = [
    ...oneLine,
    script === ""
      ? `Start the agent of workspace "${name}" on its machine with:`
      : "Where the coder command is installed already:",
    "",
    `     export CODER_AGENT_URL=${url} CODER_AGENT_TOKEN=${instructions.auth_token}`,
    "     coder agent",
    "",
    "The blanks in front keep the token out of the history of most shells: copy them, too.",
    `Then reach it from here with: coder ssh ${name}`,
    "",
  ];
  return printableLines(lines.join("\n"));
}
