/** The ports of an agent, for users who may connect to it: what listens, what is shared, and where each is opened. */
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

/** Whose programs the agent connects to, to find out what they speak. No other program is connected to. */
export interface PortProbe {
  /** Those that are shared. */
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

  /** No ports while the agent is not connected. Ports of declared apps are left out unless they are shared. */
  async listening(
    { id }: Pick<AgentRow, "id">,
    request: Pick<TunnelRequest, "keyId" | "token">,
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

  /** Of one agent, those that have not expired. */
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

/** The port of the program that an app leads to. */
function programPort({ external, url }: AppRow): number[] {
  const address = external === 1 ? { error: "" } : parseLocalAddress(url);
  return "error" in address ? [] : [address.port];
}
