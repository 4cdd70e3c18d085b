/**
 * From a workspace's name to a connection that answers, on Node and in web pages. The deployment is asked for the workspace and
 * for how to reach agents at the same time. During both requests, and while the agent is awaited, the tunnel is begun: its
 * modules are loaded and a relay is dialled.
 */
import type { WorkspaceName } from "coder-protocol/names";
import { ClientError } from "../base/client-error.ts";
import type { RestApi } from "../rest/api.ts";
import { type AgentRef, chooseAgent, findWorkspace, type WorkspaceRef } from "../rest/workspaces.ts";
import { type ScriptWait, waitForAgent } from "./agent-wait.ts";
import { Attempt, type AttemptOptions } from "./attempt.ts";

export interface FlowOptions extends AttemptOptions {
  /** Whether to wait for startup scripts; default: `auto`. */
  readonly wait?: ScriptWait | undefined;
  /** Called with each line that startup scripts print during the wait. */
  readonly onStartupLog?: ((line: string) => void) | undefined;
  /** Start the workspace if it is stopped; without this a stopped workspace is an error. */
  readonly autostart?: boolean | undefined;
}

/** A tunnel that was begun before its agent was known. */
export interface BegunTunnel<Connection> {
  /** Connects to the agent. The connection it resolves with owns the tunnel. */
  connect(agentId: string, attempt: Attempt): Promise<Connection>;
  /** What is known to be wrong, for an error message. */
  describeTrouble(): string | undefined;
  /** Closes a tunnel that no connection owns. */
  close(): Promise<void>;
}

export interface Connected<Connection> {
  readonly workspace: WorkspaceRef;
  readonly agent: AgentRef;
  readonly connection: Connection;
}

/**
 * Rejects with a ClientError that names what is missing, EngineError when nothing can be reached, or the signal's reason.
 * @param begin Begins a tunnel. Called once the request for the workspace has been sent; the tunnel is closed here unless it is
 *   used.
 */
export async function connectFlow<Connection>(
  deployment: RestApi,
  name: WorkspaceName,
  options: FlowOptions,
  begin: (signal: AbortSignal) => Promise<BegunTunnel<Connection>>,
): Promise<Connected<Connection>> {
  const attempt = new Attempt(options);
  const { signal } = attempt;
  attempt.enter({ kind: "lookup" });
  let beginning: Promise<BegunTunnel<Connection>> | undefined;
  let tunnel: BegunTunnel<Connection> | undefined;
  try {
    const looking = findWorkspace(deployment, name, { signal });
    beginning = begin(signal);
    beginning.catch(() => undefined); // awaited below, unless the lookup fails first
    let workspace = await looking;
    if (workspace.buildStatus !== "running" && options.autostart === true) {
      const { startWorkspace } = await import("../rest/autostart.ts");
      workspace = await startWorkspace(workspace, {
        deployment,
        signal,
        onWait: (changing, requested) => attempt.enter({ kind: "workspace", workspace: changing, requested }),
      });
    }
    refuseStopped(workspace);
    const { wait = "auto", onStartupLog } = options;
    const agent = await waitForAgent(chooseAgent(workspace, name.agent), { deployment, wait, onStartupLog }, attempt);
    attempt.enter({ kind: "tunnel", waitingFor: "control plane" });
    tunnel = await beginning;
    const connection = await tunnel.connect(agent.id, attempt);
    return { workspace, agent, connection };
  } catch (error) {
    // A tunnel that is still being begun is closed, and its errors ignored: this failure is the one to report.
    if (tunnel === undefined) void beginning?.then((begun) => begun.close()).catch(() => undefined);
    else await tunnel.close();
    throw attempt.failure(error, name.workspace, tunnel?.describeTrouble());
  }
}

function refuseStopped(workspace: WorkspaceRef): void {
  if (workspace.buildStatus === "running") return;
  throw new ClientError("ERR_WORKSPACE_STOPPED", `Workspace "${workspace.name}" is not running`, {
    detail: `its status is "${workspace.buildStatus}"`,
  });
}
