/**
 * The main entry of the library on Node:
 *
 * await using dev = await connectWorkspace({ url: "https://coder.example.com", token, workspace: "dev" });
 * const stream = await dev.dial(8080);
 */
import { setImmediate } from "node:timers/promises";
import { parseWorkspaceName, type WorkspaceName } from "coder-protocol/names";
import { Deployment } from "../rest/deployment.ts";
import { askConnectionInfo } from "../rest/workspaces.ts";
import { type BegunTunnel, type Connected, connectFlow, type FlowOptions } from "./connect-flow.ts";
import type { TunnelChoices } from "./tunnel.ts";
import type { ConnectionChoices, WorkspaceConnection } from "./workspace-connection.ts";

export interface ConnectChoices extends FlowOptions, TunnelChoices, ConnectionChoices {}

export interface ConnectOptions extends ConnectChoices {
  /** The deployment's access URL. */
  readonly url: string | URL;
  /** A user's session token, for example from "coder tokens create". */
  readonly token: string;
  /** `[owner/]workspace[.agent]`. */
  readonly workspace: string;
}

export type ConnectedWorkspace = Connected<WorkspaceConnection>;

/**
 * Finds the workspace, waits for its agent and connects to it, directly where that is possible. Rejects with a ClientError that
 * names what is missing, EngineError when nothing can be reached, NameError for a malformed name, or `signal.reason`.
 */
export async function connectWorkspace(options: ConnectOptions): Promise<WorkspaceConnection> {
  const { url, token, workspace, ...choices } = options;
  const deployment = new Deployment({ url: new URL(url), token });
  const { connection } = await connectTo(deployment, parseWorkspaceName(workspace), choices);
  return connection;
}

/** Like {@link connectWorkspace}, for an open deployment. Also returns the workspace and agent that were found. */
export async function connectTo(
  deployment: Deployment,
  name: WorkspaceName,
  choices: ConnectChoices,
): Promise<ConnectedWorkspace> {
  return connectFlow(deployment, name, choices, (signal) => begin(deployment, choices, signal));
}

/**
 * Does what does not depend on the workspace while that is being looked up: asks the deployment how to reach agents, loads the
 * engine, dials a relay and queries STUN servers. The engine and the control protocol take half of the start-up time, so they are
 * loaded two turns later: by then the requests are sent or, on a slow network, being connected.
 */
async function begin(
  deployment: Deployment,
  choices: ConnectChoices,
  signal: AbortSignal,
): Promise<BegunTunnel<WorkspaceConnection>> {
  const connectionInfo = askConnectionInfo(deployment, { signal });
  connectionInfo.catch(() => undefined); // awaited by openTunnel
  await setImmediate();
  await setImmediate();
  const { WorkspaceConnection } = await import("./workspace-connection.ts");
  const { openTunnel } = await import("./tunnel.ts");
  const { prepareWasmCipher } = await import("wg-userspace/aead/wasm-cipher");
  prepareWasmCipher();
  const { disableDirect, region, onRegionFallback, logger } = choices;
  const tunnel = await openTunnel(
    { deployment, connectionInfo, disableDirect, region, onRegionFallback, logger },
    signal,
  );
  let connection: WorkspaceConnection | undefined;
  return {
    connect: async (agentId, attempt) => {
      connection = new WorkspaceConnection(tunnel, { ...choices, deployment, agentId });
      await connection.establish(attempt);
      return connection;
    },
    describeTrouble: () => connection?.describeTrouble(),
    close: async () => (connection ?? tunnel.node).close(),
  };
}
