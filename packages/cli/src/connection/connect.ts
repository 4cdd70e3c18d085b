/**
 * Connects to a workspace and tells the user about it: the client library finds and reaches the workspace, and its stages and
 * errors become sentences here.
 */
import { ClientError, type ClientErrorCode } from "coder-client/base/client-error";
import type { ScriptWait } from "coder-client/connection/agent-wait";
import type { AgentWait, ConnectStage } from "coder-client/connection/attempt";
import { type ConnectChoices, type ConnectedWorkspace, connectTo } from "coder-client/connection/connect";
import type { RegionFallback } from "coder-client/node/node-core";
import type { Deployment } from "coder-client/rest/deployment";
import { parseWorkspaceName } from "coder-protocol/names";
import type { Logger } from "wg-userspace/base/ports";
import { printableLog } from "../base/text.ts";
import { UserError } from "../errors/user-error.ts";

/** Value of --region that chooses the region with the shortest route, even where CODER_REGION names another one. */
const AUTOMATIC = "auto";

export interface ConnectRequest extends Omit<ConnectChoices, "onStage" | "onRegionFallback"> {
  readonly deployment: Deployment;
  /** Host or workspace name as typed. */
  readonly name: string;
  readonly hostPrefix?: string | undefined;
  readonly hostnameSuffix?: string | undefined;
  readonly wait: ScriptWait;
  /** 0: no limit. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** Called with a sentence for each stage that takes time. */
  readonly onStage: (text: string) => void;
  /** Called with a line about anything that differs from the request or is not as it should be. */
  readonly warn: (text: string) => void;
}

/** Turns a typed name into a connection that answers. Every wait says what it waits for, and ends at the limit. */
export async function connectWorkspace(request: ConnectRequest): Promise<ConnectedWorkspace> {
  const { deployment, name, hostPrefix, hostnameSuffix, onStage, onStartupLog, warn, region, ...choices } = request;
  let latest: ConnectStage | undefined;
  let connecting = true;
  try {
    return await connectTo(deployment, parseWorkspaceName(name, { hostPrefix, hostnameSuffix }), {
      ...choices,
      region: region === "" || region?.toLowerCase() === AUTOMATIC ? undefined : region,
      // A program in the workspace may own the terminal by then, so the log and the reports name the region.
      onRegionFallback: (fallback) => {
        if (connecting) warn(fallbackText(fallback));
      },
      onStage: (stage) => {
        latest = stage;
        const text = stageText(stage);
        if (text !== undefined) onStage(text);
        const problem = stage.kind === "agent-ready" ? startProblem(stage.agent.lifecycleState) : undefined;
        if (problem !== undefined) warn(problem);
      },
      onStartupLog: onStartupLog === undefined ? undefined : (line) => onStartupLog(printableLog(line)),
    });
  } catch (error) {
    throw withNextStep(error, latest);
  } finally {
    connecting = false;
  }
}

function fallbackText({ wanted, why, using }: RegionFallback): string {
  const reason = why === "no-answer" ? "does not answer" : "is not in the relay map at present";
  return `warning: the relay of region "${wanted}" ${reason}: using region "${using.name}", chosen automatically`;
}

function stageText(stage: ConnectStage): string | undefined {
  switch (stage.kind) {
    case "lookup":
      return "Asking the control plane";
    case "workspace":
      return stage.requested
        ? `Starting workspace "${stage.workspace.name}"`
        : `Workspace "${stage.workspace.name}" is ${stage.workspace.buildStatus}`;
    case "agent":
      return agentText(stage.agent.name, stage.waitingFor);
    case "agent-ready":
      return undefined;
    case "tunnel":
      return `Connecting: ${stage.waitingFor}`;
  }
}

function agentText(agent: string, waitingFor: AgentWait): string {
  switch (waitingFor) {
    case "first-connection":
      return `Waiting for agent "${agent}" to connect for the first time`;
    case "reconnection":
      return `Waiting for agent "${agent}" to reconnect`;
    case "restart":
      return `Waiting for agent "${agent}" to start again`;
    case "startup-scripts":
      return "Waiting for the startup scripts (skip with --wait=no)";
  }
}

function startProblem(lifecycleState: string): string | undefined {
  if (lifecycleState === "start_error") return "warning: a startup script of the workspace failed";
  if (lifecycleState === "start_timeout") return "warning: a startup script of the workspace timed out";
  return undefined;
}

/** What the user can do after the wait for an agent has failed. */
const AGENT_HINTS: Partial<Readonly<Record<AgentWait, string>>> = {
  "first-connection": `: start it on the workspace's machine, "coder external-workspaces agent-instructions" says how`,
  "startup-scripts": "; --wait=no skips them",
};
const NEXT_COMMANDS: Partial<Readonly<Record<ClientErrorCode, string>>> = {
  ERR_WORKSPACE_STOPPED: "start",
  ERR_WORKSPACE_NOT_STARTED: "show",
};

/**
 * Adds the command or flag that helps.
 *
 * @param stage The last stage that was waited for.
 */
function withNextStep(error: unknown, stage: ConnectStage | undefined): unknown {
  if (!(error instanceof ClientError)) return error;
  const { code, message, detail } = error;
  if (code === "ERR_AGENT_UNREACHABLE" && stage?.kind === "agent") {
    const hint = AGENT_HINTS[stage.waitingFor] ?? "";
    return new ClientError(code, message, { detail: `${detail ?? ""}${hint}`, cause: error });
  }
  const workspace = /^Workspace "([^"]+)"/.exec(message)?.[1];
  const command = NEXT_COMMANDS[code];
  if (workspace === undefined || command === undefined) return error;
  return new UserError(message, { why: detail, next: [`coder ${command} ${workspace}`], code, cause: error });
}
