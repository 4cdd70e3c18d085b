/** Finds the program that a label of an app host names. */
import type { WallClock } from "../base/clock.ts";
import type { AgentRow, UserRow, WorkspaceRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import { agentStatus } from "../workspaces/agent-state.ts";
import type { AppTarget } from "./decision.ts";
import type { AppLabel, AppPlace } from "./label.ts";

export interface ResolvedApp {
  readonly target: AppTarget;
  readonly state: "running" | "stopped" | "offline";
  readonly owner: UserRow;
  readonly workspace: WorkspaceRow;
  readonly agent: AgentRow;
}

interface Place {
  readonly owner: UserRow;
  readonly workspace: WorkspaceRow;
  readonly agent: AgentRow;
}

export class AppResolver {
  readonly #store: Store;
  readonly #clock: WallClock;

  constructor(store: Store, clock: WallClock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Undefined when there is no such app, or its owner may use nothing any more. */
  async resolve({ program, place }: AppLabel): Promise<ResolvedApp | undefined> {
    if (program.kind !== "port") return undefined;
    const found = await this.#place(place);
    if (found === undefined) return undefined;
    const { owner, workspace, agent } = found;
    const { port, secure } = program;
    const share = await this.#store.portShares.find({ workspace_id: workspace.id, agent_name: agent.name, port });
    const target: AppTarget = {
      workspaceId: workspace.id,
      ownerId: owner.id,
      agentId: agent.id,
      port,
      secure,
      level: share?.level ?? "owner",
      shareEndsAt: share?.expires_at ?? undefined,
      hostHeader: share?.host_header ?? "preserve",
    };
    return { target, state: await this.#state(workspace, agent), owner, workspace, agent };
  }

  /** The id of the user whose apps are at this place. */
  async ownerOf(place: AppPlace): Promise<string | undefined> {
    if ("alias" in place) return (await this.#place(place))?.owner.id;
    return (await this.#store.users.byUsername(place.owner))?.id;
  }

  async #state(workspace: WorkspaceRow, agent: AgentRow): Promise<ResolvedApp["state"]> {
    const build = await this.#store.builds.latest(workspace.id);
    if (build?.transition !== "start") return "stopped";
    return agentStatus(agent, this.#clock.now()) === "connected" ? "running" : "offline";
  }

  async #place(place: AppPlace): Promise<Place | undefined> {
    const found = "alias" in place ? await this.#byAlias(place.alias) : await this.#byNames(place);
    if (found === undefined || found.workspace.deleted_at !== null || found.owner.status !== "active") return undefined;
    return found;
  }

  async #byNames(place: { agent: string; workspace: string; owner: string }): Promise<Place | undefined> {
    const owner = await this.#store.users.byUsername(place.owner);
    if (owner === undefined) return undefined;
    const workspace = await this.#store.workspaces.byOwnerAndName(owner.id, place.workspace);
    if (workspace === undefined) return undefined;
    const agents = await this.#store.agents.ofWorkspace(workspace.id);
    const agent = agents.find(({ name }) => name.toLowerCase() === place.agent);
    return agent === undefined ? undefined : { owner, workspace, agent };
  }

  async #byAlias(alias: string): Promise<Place | undefined> {
    const agent = await this.#store.agents.byAppAlias(alias);
    if (agent === undefined) return undefined;
    const workspace = await this.#store.workspaces.byId(agent.workspace_id);
    if (workspace === undefined) return undefined;
    const owner = await this.#store.users.byId(workspace.owner_id);
    return owner === undefined ? undefined : { owner, workspace, agent };
  }
}
