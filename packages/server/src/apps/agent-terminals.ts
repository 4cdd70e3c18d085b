/** The terminals that an agent keeps running between connections, listed for users who may connect to it. */
import { isUuid } from "coder-protocol/addresses";
import type { AgentTerminal } from "coder-protocol/rest/terminals";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Store } from "../db/store.ts";
import type { AgentHttp } from "../tunnels/agent-http.ts";
import type { TunnelRequest } from "../tunnels/agent-tunnels.ts";
import { agentStatus } from "../workspaces/agent-state.ts";

export interface AgentTerminalsOptions {
  readonly agents: Pick<Store["agents"], "byId">;
  readonly users: Pick<Store["users"], "byId">;
  readonly agentHttp: Pick<AgentHttp, "terminals">;
  readonly clock: WallClock;
  readonly log: Logger;
}

export interface ListedTerminals {
  readonly terminals: AgentTerminal[];
  /** False for agents that cannot list their terminals. */
  readonly supported: boolean;
}

/** The state of the terminals for a page that follows them; `reachable` is false while the agent cannot be asked. */
export interface FollowedTerminals extends ListedTerminals {
  readonly reachable: boolean;
}

const UNREACHABLE: FollowedTerminals = { terminals: [], supported: true, reachable: false };

export class AgentTerminals {
  readonly #options: AgentTerminalsOptions;

  constructor(options: AgentTerminalsOptions) {
    this.#options = options;
  }

  /** Lists the terminals with the names of their owners. Throws when the agent cannot be asked. */
  async list(request: TunnelRequest): Promise<ListedTerminals> {
    const { agentHttp, users } = this.#options;
    const { terminals, supported = true } = await agentHttp.terminals(request);
    const names = new Map<string, string>();
    for (const { owner } of terminals) {
      if (owner === "" || names.has(owner)) continue;
      names.set(owner, isUuid(owner) ? ((await users.byId(owner))?.username ?? "") : "");
    }
    return { terminals: terminals.map((one) => ({ ...one, owner: names.get(one.owner) ?? "" })), supported };
  }

  /** Lists the terminals for a page that follows them; an agent that does not answer is asked again. */
  async follow(request: TunnelRequest): Promise<FollowedTerminals> {
    const { agents, clock, log } = this.#options;
    const agent = await agents.byId(request.agentId);
    if (agent === undefined || agentStatus(agent, clock.now()) !== "connected") return UNREACHABLE;
    try {
      return { ...(await this.list(request)), reachable: true };
    } catch (error) {
      log.debug({ err: error, agent: request.agentId }, "asking the agent for its terminals failed");
      return UNREACHABLE;
    }
  }
}
