import { setImmediate } from "node:timers/promises";
import { sleep } from "coder-client/base/backoff";
import { ClientError } from "coder-client/base/client-error";
import type { Tunnel, TunnelOptions } from "coder-client/connection/tunnel";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { Deployment } from "coder-client/rest/deployment";
import {
  type AgentRef,
  askConnectionInfo,
  chooseAgent,
  findAgent,
  findWorkspace,
  type WorkspaceRef,
} from "coder-client/rest/workspaces";
import { parseWorkspaceName } from "coder-protocol/names";
import type { Logger } from "wg-userspace/base/ports";
import { UserError } from "../errors/user-error.ts";
import { say } from "../ui/say.ts";
import { StartupLog } from "./startup-log.ts";

const POLL_MS = 500;
/** So often may an agent be found shutting down before that is believed. */
const OFF_LOOKS = 6;

export interface ConnectRequest {
  readonly deployment: Deployment;
  /** Host or workspace as typed. */
  readonly name: string;
  readonly hostPrefix?: string | undefined;
  readonly hostnameSuffix?: string | undefined;
  readonly wait: "yes" | "no" | "auto";
  /** Start the workspace when it is stopped; otherwise that is an error. */
  readonly autostart?: boolean;
  /** 0: no limit. */
  readonly timeoutMs: number;
  /** Relays only. */
  readonly disableDirect?: boolean;
  /** What the control plane is told about the connection; absent: nothing. */
  readonly telemetry?: { readonly application: string; readonly clientVersion: string } | undefined;
  /** {@link WorkspaceConnection}: the port that is dialled first. */
  readonly firstPort?: number;
  /** Home relay by id, code or name. */
  readonly region?: string | undefined;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** Told which stage is being waited for. */
  readonly onStage: (text: string) => void;
  /** Given what startup scripts print while they are waited for. */
  readonly onStartupLog?: (line: string) => void;
}

export interface ConnectedWorkspace {
  readonly workspace: WorkspaceRef;
  readonly agent: AgentRef;
  readonly connection: WorkspaceConnection;
}

/** From a typed name to a connection that answers. Every wait says what it waits for, and ends at the limit. */
export async function connectWorkspace(request: ConnectRequest): Promise<ConnectedWorkspace> {
  const name = parseWorkspaceName(request.name, {
    ...(request.hostPrefix === undefined ? {} : { hostPrefix: request.hostPrefix }),
    ...(request.hostnameSuffix === undefined ? {} : { hostnameSuffix: request.hostnameSuffix }),
  });
  const started = performance.now();
  const limit = request.timeoutMs === 0 ? undefined : AbortSignal.timeout(request.timeoutMs);
  const signal = limit === undefined ? request.signal : AbortSignal.any([request.signal, limit]);
  request.onStage("Asking the control plane");
  let waitedFor = "the control plane did not answer";
  let beginning: Promise<Begun> | undefined;
  try {
    const looking = findWorkspace(request.deployment, name, { signal });
    beginning = begin(request, signal);
    beginning.catch(() => undefined); // heard below, unless looking fails first
    let workspace = await looking;
    if (workspace.buildStatus !== "running" && request.autostart === true) {
      const { startWorkspace } = await import("./autostart.ts");
      workspace = await startWorkspace(workspace, { ...request, signal });
    }
    refuseStopped(workspace);
    const chosen = chooseAgent(workspace, name.agent);
    const agent = await waitForAgent(request, chosen, signal, (why) => {
      waitedFor = why;
    });
    const { open, options, tunnel } = await beginning;
    beginning = undefined; // the connection's from now on
    const connection = await open({
      ...options,
      tunnel,
      agentId: agent.id,
      signal: request.signal,
      ...(request.firstPort === undefined ? {} : { firstPort: request.firstPort }),
      ...(request.telemetry === undefined ? {} : { telemetry: request.telemetry }),
      ...(request.timeoutMs === 0
        ? {}
        : { timeoutMs: Math.max(1, Math.ceil(request.timeoutMs - (performance.now() - started))) }),
      onStage: (stage) => request.onStage(`Connecting: ${stage}`),
    });
    return { workspace, agent, connection };
  } catch (error) {
    beginning?.then(({ tunnel }) => tunnel.node.close()).catch(() => undefined); // whatever it was: that other failure counts
    if (limit?.aborted === true && !request.signal.aborted && !(error instanceof ClientError)) {
      const seconds = Math.round(request.timeoutMs / 1000);
      throw new ClientError(
        "ERR_AGENT_UNREACHABLE",
        `Workspace "${name.workspace}" could not be reached within ${seconds} s`,
        {
          detail: waitedFor,
          cause: error,
        },
      );
    }
    throw error;
  }
}

interface Begun {
  readonly open: typeof WorkspaceConnection.open;
  readonly options: TunnelOptions;
  readonly tunnel: Tunnel;
}

/**
 * What does not depend on the workspace, while it is being looked for: how agents are reached is asked for, the engine is
 * loaded, a relay is dialled and STUN servers are asked. The engine and the control protocol are half of what a start costs:
 * they are loaded two turns later, when the questions are out or on a far network their connections are being made.
 */
async function begin(request: ConnectRequest, signal: AbortSignal): Promise<Begun> {
  const connectionInfo = askConnectionInfo(request.deployment, { signal });
  connectionInfo.catch(() => undefined); // heard by openTunnel
  await setImmediate();
  await setImmediate();
  const { WorkspaceConnection } = await import("coder-client/connection/workspace-connection");
  const { openTunnel } = await import("coder-client/connection/tunnel");
  const { prepareWasmCipher } = await import("wg-userspace/aead/wasm-cipher");
  prepareWasmCipher();
  const options: TunnelOptions = {
    deployment: request.deployment,
    connectionInfo,
    disableDirect: request.disableDirect ?? false,
    ...(request.region === undefined ? {} : { region: request.region }),
    logger: request.logger,
  };
  return { open: WorkspaceConnection.open, options, tunnel: await openTunnel(options, signal) };
}

function refuseStopped(workspace: WorkspaceRef): void {
  if (workspace.buildStatus === "running") return;
  throw new UserError(`Workspace "${workspace.name}" is not running`, {
    why: `its status is "${workspace.buildStatus}"`,
    next: [`coder start ${workspace.name}`],
    code: "ERR_WORKSPACE_STOPPED",
  });
}

/** Waits until the agent is connected and, where wanted, its startup scripts are done. */
async function waitForAgent(
  request: ConnectRequest,
  first: AgentRef,
  signal: AbortSignal,
  waitingFor: (why: string) => void,
): Promise<AgentRef> {
  const wantsScripts =
    request.wait === "yes" || (request.wait === "auto" && first.scripts.some((script) => script.startBlocksLogin));
  const log = request.onStartupLog === undefined ? undefined : new StartupLog(request.deployment, first.id);
  const showLog = async (): Promise<void> => {
    for (const text of (await log?.next(signal)) ?? []) request.onStartupLog?.(text);
  };
  let waited = false;
  let looksWhileOff = 0;
  for (let agent = first; ; agent = await findAgent(request.deployment, agent.id, { signal })) {
    const isOff = /^(shutting_down|shutdown_timeout|shutdown_error|off)$/.test(agent.lifecycleState);
    // An agent that has just come back says so a moment after it connected.
    if (isOff && agent.status === "connected" && ++looksWhileOff > OFF_LOOKS) {
      throw new UserError(`The agent "${agent.name}" is shutting down`, {
        why: `its state is "${agent.lifecycleState}"`,
        code: "ERR_AGENT_OFF",
      });
    }
    if (isOff && agent.status === "connected") {
      waitingFor(`its agent "${agent.name}" is shutting down`);
      request.onStage(`Waiting for agent "${agent.name}" to start again`);
    } else if (agent.status === "connected") {
      if (!wantsScripts || !/^(created|starting)$/.test(agent.lifecycleState)) {
        if (waited) await showLog();
        warnAboutStart(agent);
        return agent;
      }
      waitingFor("its startup scripts are still running; --wait=no skips them");
      request.onStage("Waiting for the startup scripts (skip with --wait=no)");
      waited = true;
      await showLog();
    } else if (agent.status === "connecting" || agent.status === "timeout") {
      waitingFor(
        `its agent "${agent.name}" has never connected: start it on the workspace's machine, "coder external-workspaces agent-instructions" says how`,
      );
      request.onStage(`Waiting for agent "${agent.name}" to connect for the first time`);
    } else {
      waitingFor(`its agent "${agent.name}" is disconnected: is its machine up and able to reach the deployment?`);
      request.onStage(`Waiting for agent "${agent.name}" to reconnect`);
    }
    await sleep(POLL_MS, signal);
  }
}

function warnAboutStart(agent: AgentRef): void {
  if (agent.lifecycleState === "start_error") say("warning: a startup script of the workspace failed");
  if (agent.lifecycleState === "start_timeout") say("warning: a startup script of the workspace ran out of time");
}
