import { isUuid } from "coder-protocol/addresses";
import type { WallClock } from "../base/clock.ts";
import type { UserRow, WorkspaceRow } from "../db/schema.ts";
import type { DeploymentIds, Tables } from "../db/store.ts";
import { agentStatus } from "./agent-state.ts";
import { buildStatus } from "./build-status.ts";
import { ORGANIZATION_NAME, TEMPLATE_NAME } from "./builtin.ts";
import type { WorkspaceQuery } from "./workspace-query.ts";

export interface WorkspaceSearchOptions {
  readonly tables: Pick<Tables, "users" | "workspaces" | "builds" | "agents">;
  readonly deployment: DeploymentIds;
  readonly clock: WallClock;
}

/** Finds workspaces, in the same number of queries for any number of results. */
export class WorkspaceSearch {
  readonly #options: WorkspaceSearchOptions;

  constructor(options: WorkspaceSearchOptions) {
    this.#options = options;
  }

  /** The workspaces that match the query and that `user` may see, or those of them whose id is in `among`. */
  async visible(user: UserRow, query: WorkspaceQuery, among?: readonly string[]): Promise<WorkspaceRow[]> {
    const owner = await this.#owner(user, query);
    if (owner === "none" || query.nothing || !this.#matchesDeployment(query)) return [];
    const { workspaces } = this.#options.tables;
    const rows = await workspaces.list({
      ownerId: owner.id,
      nameContains: query.name?.toLowerCase(),
      ids: idsOf(query, among),
    });
    return await this.#withAgents(
      await this.#withStatus(
        rows.filter((row) => matchesRow(row, query)),
        query,
      ),
      query,
    );
  }

  /** The owner to filter by: one user, any if `id` is undefined, or "none" if no workspace can match. */
  async #owner(user: UserRow, query: WorkspaceQuery): Promise<{ id: string | undefined } | "none"> {
    const widest = user.role === "owner" ? undefined : user.id;
    if (query.owner === undefined) return { id: widest };
    if (query.owner === "me") return { id: user.id };
    const { users } = this.#options.tables;
    const named = isUuid(query.owner)
      ? await users.byId(query.owner.toLowerCase())
      : await users.byUsername(query.owner);
    return named === undefined || (widest !== undefined && named.id !== widest) ? "none" : { id: named.id };
  }

  /** There is only one template and one organization. */
  #matchesDeployment({ template, organization }: WorkspaceQuery): boolean {
    const { organizationId } = this.#options.deployment;
    return (
      (template === undefined || template.toLowerCase() === TEMPLATE_NAME) &&
      (organization === undefined || [ORGANIZATION_NAME, "default", organizationId].includes(organization))
    );
  }

  async #withStatus(rows: WorkspaceRow[], { status }: WorkspaceQuery): Promise<WorkspaceRow[]> {
    if (status === undefined) return rows;
    const latest = await this.#options.tables.builds.latestOf(rows.map((row) => row.id));
    return rows.filter((row) => {
      const build = latest.get(row.id);
      return build !== undefined && buildStatus(build) === status;
    });
  }

  async #withAgents(rows: WorkspaceRow[], { hasAgent }: WorkspaceQuery): Promise<WorkspaceRow[]> {
    if (hasAgent === undefined) return rows;
    const { tables, clock } = this.#options;
    const agents = await tables.agents.ofWorkspaces(rows.map((row) => row.id));
    const now = clock.now();
    const matching = new Set(
      agents.filter((agent) => hasAgent.includes(agentStatus(agent, now))).map((agent) => agent.workspace_id),
    );
    return rows.filter((row) => matching.has(row.id));
  }
}

/** Undefined: the id does not matter. */
function idsOf({ id }: WorkspaceQuery, among: readonly string[] | undefined): readonly string[] | undefined {
  if (id === undefined) return among;
  return among === undefined || among.includes(id) ? [id] : [];
}

function matchesRow(row: WorkspaceRow, { lastUsedBefore, lastUsedAfter }: WorkspaceQuery): boolean {
  return (
    (lastUsedBefore === undefined || row.last_used_at <= lastUsedBefore) &&
    (lastUsedAfter === undefined || row.last_used_at >= lastUsedAfter)
  );
}
