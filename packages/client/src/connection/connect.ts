/**
 * The library's front door on Node:
 *
 *     await using dev = await connectWorkspace({ url: "https://coder.example.com", token, workspace: "dev" });
 *     const stream = await dev.dial(8080);
 */
import { parseWorkspaceName } from "coder-protocol/names";
import { ClientError } from "../base/client-error.ts";
import { Deployment } from "../rest/deployment.ts";
import { askConnectionInfo, chooseAgent, findWorkspace } from "../rest/workspaces.ts";
import { type ConnectChoices, WorkspaceConnection } from "./workspace-connection.ts";

export interface ConnectOptions extends ConnectChoices {
  /** The deployment's access URL. */
  readonly url: string | URL;
  /** A user's session token: "coder tokens create" makes one. */
  readonly token: string;
  /** `[owner/]workspace[.agent]`. */
  readonly workspace: string;
}

/**
 * Finds the workspace and connects to its agent, directly where that is possible. Rejects with ClientError naming what is
 * missing, EngineError when nothing can be reached, NameError for a name that is none, or `signal.reason`. A workspace that
 * is not running is not started.
 */
export async function connectWorkspace(options: ConnectOptions): Promise<WorkspaceConnection> {
  const { url, token, workspace, ...rest } = options;
  const name = parseWorkspaceName(workspace);
  const deployment = new Deployment({ url: new URL(url), token });
  const request = options.signal === undefined ? {} : { signal: options.signal };
  const connectionInfo = askConnectionInfo(deployment, request);
  connectionInfo.catch(() => undefined); // heard below, unless there is no such workspace
  const found = await findWorkspace(deployment, name, request);
  if (found.buildStatus !== "running") {
    throw new ClientError("ERR_AGENT_UNREACHABLE", `Workspace "${found.name}" is not running`, {
      detail: `its status is "${found.buildStatus}"`,
    });
  }
  return WorkspaceConnection.open({ ...rest, deployment, connectionInfo, agentId: chooseAgent(found, name.agent).id });
}
