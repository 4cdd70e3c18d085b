/** Apps that workspaces declare: by their owners through the REST API, and by their agents. */
import type { ShareLevel } from "coder-protocol/rest/apps";
import {
  type AppHealth,
  type ChangeWorkspaceAppRequest,
  MAX_APPS_PER_AGENT,
  type NewWorkspaceApp,
} from "coder-protocol/rest/workspace-apps";
import type { AppPlaceNames } from "../base/app-name.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import { narrowerLevel } from "../base/share-level.ts";
import type { AgentRow, AppRow, WorkspaceRow } from "../db/schema.ts";
import type { Store, Tables } from "../db/store.ts";
import { type AgentAppsPlan, appRow, changedAppRow, differs, planAgentApps } from "./app-rows.ts";
import type { Changes } from "./changes.ts";

/** More than the number of apps an agent can have; the rest of a longer list is dropped. */
const MAX_HEALTH_UPDATES = 256;

/** An app, with the names from which its address is built. */
export interface PlacedApp {
  readonly row: AppRow;
  readonly place: AppPlaceNames;
}

export interface DeclaredAppsOptions {
  readonly store: Store;
  readonly changes: Changes;
  readonly clock: WallClock;
  readonly maxLevel: ShareLevel;
}

export class DeclaredApps {
  readonly #options: DeclaredAppsOptions;

  constructor(options: DeclaredAppsOptions) {
    this.#options = options;
  }

  async ofWorkspace(workspaceId: string): Promise<PlacedApp[]> {
    return await this.#placed(await this.#options.store.apps.ofWorkspace(workspaceId));
  }

  /** Throws DomainError "invalid", "taken" or "limit-reached". */
  async add(workspace: WorkspaceRow, agentName: string, app: NewWorkspaceApp): Promise<PlacedApp> {
    this.checkLevel(app.sharing_level);
    const now = this.#options.clock.now();
    const row = await this.#options.store.transaction(async (tables) => {
      await tables.workspaces.lock(workspace.id);
      const agent = namedAgent(await tables.agents.ofWorkspace(workspace.id), agentName);
      const present = await tables.apps.ofWorkspace(workspace.id);
      if (present.some(({ slug }) => slug === app.slug)) throw slugTaken(app.slug);
      const ofAgent = present.filter(({ agent_id: id }) => id === agent.id);
      if (ofAgent.length >= MAX_APPS_PER_AGENT) throw tooMany();
      const position = 1 + Math.max(-1, ...ofAgent.map(({ position: other }) => other));
      const added = appRow(app, position, { agentId: agent.id, workspaceId: workspace.id, now });
      await tables.apps.insert([added]);
      return added;
    });
    this.#changed(workspace.id);
    return await this.#one(row);
  }

  /** Throws DomainError "invalid", "not-found" or "taken". */
  async change(workspace: WorkspaceRow, slug: string, request: ChangeWorkspaceAppRequest): Promise<PlacedApp> {
    if (request.sharing_level !== undefined) this.checkLevel(request.sharing_level);
    const now = this.#options.clock.now();
    const row = await this.#options.store.transaction(async ({ apps, workspaces }) => {
      await workspaces.lock(workspace.id);
      const present = await apps.find(workspace.id, slug);
      if (present === undefined) throw notFound();
      if (present.source === "agent") checkApproval(present, request);
      const changed = changedAppRow(present, request, now);
      await apps.update(present.id, changed);
      return changed;
    });
    this.#changed(workspace.id);
    return await this.#one(row);
  }

  /** Throws DomainError "not-found" if there is no such app. */
  async remove(workspace: WorkspaceRow, slug: string): Promise<void> {
    await this.#options.store.transaction(async ({ apps, workspaces }) => {
      await workspaces.lock(workspace.id);
      const present = await apps.find(workspace.id, slug);
      if (present === undefined) throw notFound();
      await apps.remove(present.id);
    });
    this.#changed(workspace.id);
  }

  /** Replaces what the agent declared before. */
  async replaceOfAgent(
    agent: AgentRow,
    asked: readonly unknown[],
  ): Promise<{ readonly apps: PlacedApp[]; readonly ignored: AgentAppsPlan["ignored"] }> {
    const origin = { agentId: agent.id, workspaceId: agent.workspace_id, now: this.#options.clock.now() };
    const { plan, changed } = await this.#options.store.transaction(async ({ apps, workspaces }) => {
      await workspaces.lock(agent.workspace_id);
      const present = await apps.ofWorkspace(agent.workspace_id);
      const planned = planAgentApps(asked, present, origin);
      const before = present.filter((row) => row.source === "agent" && row.agent_id === agent.id);
      const gone = before.filter(({ id }) => !planned.kept.some((row) => row.id === id));
      let count = gone.length;
      for (const { id } of gone) await apps.remove(id);
      for (const row of planned.kept) {
        const old = before.find(({ id }) => id === row.id);
        if (old !== undefined && !differs(old, row)) continue;
        count++;
        if (old === undefined) await apps.insert([row]);
        else await apps.update(row.id, row);
      }
      return { plan: planned, changed: count > 0 };
    });
    if (changed) this.#changed(agent.workspace_id);
    return { apps: await this.#placed(plan.kept), ignored: plan.ignored };
  }

  /** Stores the health that the agent found for its apps. */
  async health(
    agent: Pick<AgentRow, "id" | "workspace_id">,
    updates: readonly { readonly id: string; readonly health: AppHealth }[],
  ): Promise<void> {
    const changed = await this.#options.store.transaction(async ({ apps }) => {
      let any = false;
      for (const { id, health } of updates.slice(0, MAX_HEALTH_UPDATES))
        any = (await apps.setHealth(agent.id, id, health)) || any;
      return any;
    });
    if (changed) this.#changed(agent.workspace_id);
  }

  /** Throws DomainError "invalid" for a level that the administrator does not allow. */
  checkLevel(level: ShareLevel): void {
    const { maxLevel } = this.#options;
    if (narrowerLevel(level, maxLevel) === level) return;
    throw new DomainError("invalid", "App sharing level not allowed.", {
      detail: `An administrator allows at most the level "${maxLevel}" (--max-share-level)`,
    });
  }

  async #one(row: AppRow): Promise<PlacedApp> {
    const [placed] = await this.#placed([row]);
    if (placed === undefined) throw notFound();
    return placed;
  }

  async #placed(rows: readonly AppRow[]): Promise<PlacedApp[]> {
    return await placedApps(this.#options.store, rows);
  }

  #changed(workspaceId: string): void {
    this.#options.changes.publish({ kind: "workspace", workspaceId });
  }
}

/** Adds the names of their agents to rows, with one query for any number of rows. */
export async function placedApps(tables: Pick<Tables, "agents">, rows: readonly AppRow[]): Promise<PlacedApp[]> {
  if (rows.length === 0) return [];
  const places = await tables.agents.appPlaces([...new Set(rows.map(({ agent_id: id }) => id))]);
  return rows.flatMap((row) => {
    const place = places.get(row.agent_id);
    return place === undefined ? [] : [{ row, place }];
  });
}

/** Rows of a workspace that is being created. Throws DomainError "invalid". */
export function firstAppRows(
  apps: readonly NewWorkspaceApp[],
  origin: { readonly agentId: string; readonly workspaceId: string; readonly now: number },
): AppRow[] {
  const slugs = new Set<string>();
  for (const { slug } of apps) {
    if (slugs.has(slug)) throw slugTaken(slug);
    slugs.add(slug);
  }
  return apps.map((app, position) => appRow(app, position, origin));
}

/** An app that the agent declared can be changed only by the agent; its sharing level is for the owner to decide. */
function checkApproval(present: AppRow, request: ChangeWorkspaceAppRequest): void {
  const { sharing_level: level, url, ...rest } = request;
  if (Object.values(rest).some((value) => value !== undefined))
    throw new DomainError("invalid", `The app "${present.slug}" is declared by its agent.`, {
      detail: "Only its sharing level is changed here; everything else in the agent's own list of apps",
    });
  if (level === undefined || level === "owner" || url === present.url) return;
  if (url === undefined)
    throw new DomainError("invalid", "An approval names the address that it is for.", {
      validations: [{ field: "url", detail: "must repeat the app's address" }],
    });
  throw new DomainError("taken", `The agent changed the address of "${present.slug}" meanwhile.`, {
    detail: `It is ${present.url} now; look at it and approve it again`,
  });
}

function namedAgent(agents: readonly AgentRow[], name: string): AgentRow {
  const [first, second] = agents;
  const agent = name === "" && second === undefined ? first : agents.find((candidate) => candidate.name === name);
  if (agent !== undefined) return agent;
  throw new DomainError("invalid", "Agent not found.", {
    validations: [{ field: "agent_name", detail: `must be one of ${agents.map((other) => other.name).join(", ")}` }],
  });
}

function slugTaken(slug: string): DomainError {
  return new DomainError("taken", `The workspace already has an app "${slug}".`, {
    validations: [{ field: "slug", detail: "must be unique in the workspace" }],
  });
}

function tooMany(): DomainError {
  return new DomainError("limit-reached", `An agent has at most ${MAX_APPS_PER_AGENT} apps; remove one first`);
}
