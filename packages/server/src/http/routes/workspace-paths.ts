import type { Context } from "hono";
import { mayUse } from "../../auth/authenticator.ts";
import { DomainError, notFound } from "../../base/domain-error.ts";
import type { AgentRow, UserRow, WorkspaceBuildRow, WorkspaceRow } from "../../db/schema.ts";
import type { Tables } from "../../db/store.ts";
import type { HttpEnv } from "../hono.ts";
import { uuidParam } from "../reply.ts";

export interface VisibleBuild {
  readonly workspace: WorkspaceRow;
  readonly build: WorkspaceBuildRow;
}

/** The workspaces, builds and agents named in paths, if the user may see them. */
export class WorkspacePaths {
  readonly #tables: Pick<Tables, "workspaces" | "builds" | "agents">;

  constructor(tables: Pick<Tables, "workspaces" | "builds" | "agents">) {
    this.#tables = tables;
  }

  /** The workspace named by `:workspace`. Throws DomainError "not-found", or "deleted" if it is deleted. */
  async workspace(c: Context<HttpEnv>, withDeleted = false): Promise<WorkspaceRow> {
    const workspace = await this.#tables.workspaces.byId(uuidParam(c, "workspace"));
    if (workspace === undefined || !mayUse(c.get("auth").user, workspace)) throw notFound();
    if (workspace.deleted_at !== null && !withDeleted) {
      throw new DomainError(
        "deleted",
        `Workspace "${workspace.name}" was deleted, you can view this workspace by specifying '?deleted=true' and trying again.`,
      );
    }
    return workspace;
  }

  /** The agent that `:agent` gives by name. */
  async agent(c: Context<HttpEnv>, workspace: WorkspaceRow): Promise<AgentRow> {
    const agents = await this.#tables.agents.ofWorkspace(workspace.id);
    const agent = agents.find((candidate) => candidate.name === c.req.param("agent"));
    if (agent === undefined) throw notFound();
    return agent;
  }

  /** The build named by `:build`. */
  async build(c: Context<HttpEnv>): Promise<VisibleBuild> {
    const found = await this.visibleBuild(c.get("auth").user, uuidParam(c, "build"));
    if (found === undefined) throw notFound();
    return found;
  }

  /** Builds of deleted workspaces stay visible, because the CLI reads the build that deletes a workspace. */
  async visibleBuild(user: UserRow, buildId: string): Promise<VisibleBuild | undefined> {
    const build = await this.#tables.builds.byId(buildId);
    const workspace = build === undefined ? undefined : await this.#tables.workspaces.byId(build.workspace_id);
    if (build === undefined || workspace === undefined || !mayUse(user, workspace)) return undefined;
    return { workspace, build };
  }
}
