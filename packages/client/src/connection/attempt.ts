/** One attempt to connect: its stages as typed events, and its time limit. */
import { deadline } from "wg-userspace/async/abort";
import { ClientError } from "../base/client-error.ts";
import type { AgentRef, WorkspaceRef } from "../rest/workspaces.ts";

/**
 * What an attempt to connect is waiting for. Stages of the tunnel may alternate, since each names the part that is missing at the
 * time.
 */
export type ConnectStage =
  /** The workspace is being looked up. */
  | { readonly kind: "lookup" }
  /** The workspace is changing its state. `requested`: this attempt asks the deployment to start it. */
  | { readonly kind: "workspace"; readonly workspace: WorkspaceRef; readonly requested: boolean }
  | { readonly kind: "agent"; readonly agent: AgentRef; readonly waitingFor: AgentWait }
  /** The agent can be reached; only the tunnel remains. */
  | { readonly kind: "agent-ready"; readonly agent: AgentRef }
  | { readonly kind: "tunnel"; readonly waitingFor: TunnelWait };

export type AgentWait =
  /** The agent has never connected to the deployment. */
  | "first-connection"
  /** The agent was connected before, but is not now. */
  | "reconnection"
  /** The agent is shutting down. */
  | "restart"
  | "startup-scripts";

export type TunnelWait =
  /** The deployment is being asked how to reach agents. */
  | "control plane"
  /** Our relay is being connected. */
  | "relay"
  /** The agent has not published its node on the control plane. */
  | "agent"
  /** WireGuard: the agent does not answer our handshake yet. */
  | "handshake"
  /** The WireGuard session is established, but the agent's network stack has not answered yet. */
  | "reachability";

const TUNNEL_TEXT: Readonly<Record<TunnelWait, string>> = {
  "control plane": "the control plane did not answer",
  relay: "no connection to a relay",
  agent: "the agent has not told the control plane where it is: is it running and connected?",
  handshake: "the agent did not answer through the relay: it may be gone or connected to another relay",
  reachability: "the tunnel is up, but the agent's network stack does not answer",
};

export interface AttemptOptions {
  /** Ends the attempt, which rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Limit for the whole attempt in ms; absent or 0 for none. */
  readonly timeoutMs?: number | undefined;
  readonly onStage?: ((stage: ConnectStage) => void) | undefined;
}

export class Attempt {
  /** Aborts with the caller's signal, or when the time is up. */
  readonly signal: AbortSignal;
  readonly #options: AttemptOptions;
  readonly #limit: AbortSignal | undefined;
  #stage: ConnectStage = { kind: "lookup" };

  constructor(options: AttemptOptions) {
    this.#options = options;
    const { timeoutMs, signal } = options;
    this.#limit = timeoutMs === undefined || timeoutMs === 0 ? undefined : deadline(timeoutMs);
    const signals = [signal, this.#limit].filter((one) => one !== undefined);
    this.signal = signals.length === 0 ? new AbortController().signal : AbortSignal.any(signals);
  }

  enter(stage: ConnectStage): void {
    this.#stage = stage;
    this.#options.onStage?.(stage);
  }

  /**
   * The error with which the attempt rejects because of `error`: ERR_AGENT_UNREACHABLE, which names the stage, when the time is
   * up, otherwise the error itself.
   * @param workspace The workspace's name, if known.
   * @param trouble What is known to be wrong with the tunnel.
   */
  failure(error: unknown, workspace?: string, trouble?: string): unknown {
    const timedOut = this.#limit?.aborted === true && this.#options.signal?.aborted !== true;
    if (!timedOut) return error;
    const stage = this.#stage;
    const seconds = Math.round(this.#options.timeoutMs! / 1000);
    if (stage.kind === "tunnel") {
      const detail = trouble ?? (error instanceof Error && error !== this.signal.reason ? error.message : undefined);
      return new ClientError(
        "ERR_AGENT_UNREACHABLE",
        `The workspace could not be reached within ${seconds} s: ${TUNNEL_TEXT[stage.waitingFor]}`,
        {
          detail: [`stage reached: ${stage.waitingFor}`, detail].filter((text) => text !== undefined).join("; "),
          cause: error,
        },
      );
    }
    if (error instanceof ClientError) return error;
    return new ClientError(
      "ERR_AGENT_UNREACHABLE",
      `Workspace "${workspace}" could not be reached within ${seconds} s`,
      {
        detail: earlierText(stage),
        cause: error,
      },
    );
  }
}

function earlierText(stage: Exclude<ConnectStage, { kind: "tunnel" }>): string {
  if (stage.kind !== "agent") return "the control plane did not answer";
  const agent = `its agent "${stage.agent.name}"`;
  switch (stage.waitingFor) {
    case "first-connection":
      return `${agent} has never connected`;
    case "reconnection":
      return `${agent} is disconnected: is its machine up and able to reach the deployment?`;
    case "restart":
      return `${agent} is shutting down`;
    case "startup-scripts":
      return "its startup scripts are still running";
  }
}
