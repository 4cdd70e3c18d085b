/** The ports of an agent, listed for users who may connect to it: which are listening, which are shared, and the URL of each. */
import { parseLocalAddress } from "coder-protocol/app-addresses";
import type { ListeningPortsResponse } from "coder-protocol/rest/agents";
import { portProxyAddress } from "../base/app-name.ts";
import type { WallClock } from "../base/clock.ts";
import type { Wildcard } from "../base/wildcard.ts";
import type { AgentRow, AppRow, PortShareRow } from "../db/schema.ts";
import type { Tables } from "../db/store.ts";
import type { AgentHttp } from "../tunnels/agent-http.ts";
import type { TunnelRequest } from "../tunnels/agent-tunnels.ts";
import { agentStatus } from "../workspaces/agent-state.ts";
import type { PortShareService } from "./port-shares.ts";

/** Restricts which programs the agent connects to in order to detect their protocol. It connects to no others. */
export interface PortProbe {
  /** Connect to the shared ports. */
  readonly shared: boolean;
  readonly ports: readonly number[];
}

export interface AgentPortsOptions {
  readonly tables: Pick<Tables, "agents" | "apps" | "workspaces">;
  readonly portShares: Pick<PortShareService, "list">;
  readonly agentHttp: Pick<AgentHttp, "listeningPorts">;
  readonly wildcard: Wildcard | undefined;
  readonly accessUrl: () => URL;
  readonly clock: WallClock;
}

export class AgentPorts {
  readonly #options: AgentPortsOptions;

  constructor(options: AgentPortsOptions) {
    this.#options = options;
  }

  /** Empty while the agent is not connected. Ports of declared apps are left out unless they are shared. */
  async listening(
    { id }: Pick<AgentRow, "id">,
    request: Omit<TunnelRequest, "agentId">,
    probe: PortProbe,
  ): Promise<ListeningPortsResponse> {
    const { agentHttp, clock, tables } = this.#options;
    const agent = await tables.agents.byId(id);
    if (agent === undefined || agentStatus(agent, clock.now()) !== "connected") return { ports: [], address: "" };
    const shared = (await this.shares(agent)).map(({ port }) => port);
    const asked = [...new Set([...probe.ports, ...(probe.shared ? shared : [])])];
    const { ports } = await agentHttp.listeningPorts({ ...request, agentId: id }, asked);
    const declared = new Set((await tables.apps.ofAgents([id])).flatMap(programPort));
    return {
      ports: ports.filter(({ port }) => shared.includes(port) || !declared.has(port)),
      address: await this.#address(id),
    };
  }

  /** The unexpired shares of one agent. */
  async shares(agent: Pick<AgentRow, "name" | "workspace_id">): Promise<PortShareRow[]> {
    const workspace = await this.#options.tables.workspaces.byId(agent.workspace_id);
    const rows = workspace === undefined ? [] : await this.#options.portShares.list(workspace);
    return rows.filter(({ agent_name: name }) => name === agent.name);
  }

  async #address(agentId: string): Promise<string> {
    const { accessUrl, tables, wildcard } = this.#options;
    const place = (await tables.agents.appPlaces([agentId])).get(agentId);
    return place === undefined || wildcard === undefined ? "" : portProxyAddress(place, wildcard, accessUrl());
  }
}

/** The port of the program behind an app, as a list of at most one. */
function programPort({ external, url }: AppRow): number[] {
  const address = external === 1 ? { error: "" } : parseLocalAddress(url);
  return "error" in address ? [] : [address.port];
}
