/** Finds the program that a label of an app host names. */
import { parseLocalAddress } from "coder-protocol/app-addresses";
import type { WallClock } from "../base/clock.ts";
import { choicesOf, NO_CHOICES } from "../db/app-choices.ts";
import type { AgentRow, UserRow, WorkspaceRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import { agentStatus } from "../workspaces/agent-state.ts";
import type { AppTarget } from "./decision.ts";
import type { AppLabel, AppPlace } from "./label.ts";
import type { PathNames } from "./path-names.ts";
import type { PortShareService } from "./port-shares.ts";

export interface ResolvedApp {
  readonly target: AppTarget;
  readonly state: "running" | "stopped" | "offline";
  readonly owner: UserRow;
  readonly workspace: WorkspaceRow;
  readonly agent: AgentRow;
}

/** How a program is reached, and who may reach it. */
type Listening = Omit<AppTarget, "workspaceId" | "ownerId" | "agentId">;

interface Place {
  readonly owner: UserRow;
  readonly workspace: WorkspaceRow;
  readonly agent: AgentRow;
}

export class AppResolver {
  readonly #store: Store;
  readonly #portShares: Pick<PortShareService, "find">;
  readonly #clock: WallClock;

  constructor(store: Store, portShares: Pick<PortShareService, "find">, clock: WallClock) {
    this.#store = store;
    this.#portShares = portShares;
    this.#clock = clock;
  }

  /** Undefined if there is no such app, or if its owner may no longer use the deployment. */
  async resolve({ program, place }: AppLabel): Promise<ResolvedApp | undefined> {
    const found = await this.#place(place);
    if (found === undefined) return undefined;
    const { owner, workspace, agent } = found;
    const ids = { workspaceId: workspace.id, ownerId: owner.id, agentId: agent.id };
    const listening = program.kind === "port" ? await this.#port(found, program) : await this.#declared(found, program);
    if (listening === undefined) return undefined;
    return { target: { ...ids, ...listening }, state: await this.state(workspace, agent), owner, workspace, agent };
  }

  /** Finds an app of the workspace by its slug, on any agent. */
  async resolvePath(names: PathNames): Promise<ResolvedApp | undefined> {
    const { owner: username, workspace: name, agent, slug } = names;
    const owner = await this.#store.users.byUsername(username);
    const workspace = owner && (await this.#store.workspaces.byOwnerAndName(owner.id, name));
    const app = workspace && (await this.#store.apps.find(workspace.id, slug));
    const having = app && (await this.#store.agents.byId(app.agent_id));
    if (having === undefined) return undefined;
    const asked = agent ?? having.name;
    return await this.resolve({
      prefix: "",
      program: { kind: "slug", slug },
      place: { owner: username.toLowerCase(), workspace: name.toLowerCase(), agent: asked.toLowerCase() },
    });
  }

  async #port({ workspace, agent }: Place, { port, secure }: { port: number; secure: boolean }): Promise<Listening> {
    const share = await this.#portShares.find({ workspace_id: workspace.id, agent_name: agent.name, port });
    return {
      port,
      secure,
      basePath: "",
      query: "",
      level: share?.level ?? "owner",
      shareEndsAt: share?.expires_at ?? undefined,
      hostHeader: share?.host_header ?? "preserve",
      ...(share === undefined ? NO_CHOICES : choicesOf(share)),
    };
  }

  /** Undefined for an app without a program behind it: an external app or a command. */
  async #declared({ workspace, agent }: Place, { slug }: { slug: string }): Promise<Listening | undefined> {
    const app = await this.#store.apps.find(workspace.id, slug);
    if (app === undefined || app.agent_id !== agent.id || app.external === 1 || app.url === "") return undefined;
    const address = parseLocalAddress(app.url);
    if ("error" in address) return undefined;
    return { ...address, level: app.level, shareEndsAt: undefined, hostHeader: app.host_header, ...choicesOf(app) };
  }

  /** The id of the user who owns the apps at this place. */
  async ownerOf(place: AppPlace): Promise<string | undefined> {
    if ("alias" in place) return (await this.#place(place))?.owner.id;
    return (await this.#store.users.byUsername(place.owner))?.id;
  }

  /** The state of the app: whether its workspace is running and its agent connected. */
  async state(workspace: WorkspaceRow, agent: AgentRow): Promise<ResolvedApp["state"]> {
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
