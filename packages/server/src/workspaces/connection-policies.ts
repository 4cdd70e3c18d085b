/**
 * Decides for which users and workspaces only browsers may connect. A change is durable and published when its promise resolves.
 */
import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import type { BrowserOnlyBy, ConnectionPolicy, WorkspacePolicyRequest } from "coder-protocol/rest/connection-policy";
import type { AccessChanges } from "../auth/access-changes.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import type { AgentRow, UserRow, WorkspaceRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import { type BrowserOnlySetting, browserOnlyBy } from "./browser-only.ts";
import type { Changes } from "./changes.ts";

export interface ConnectionPoliciesOptions {
  readonly deployment: BrowserOnlySetting;
  readonly store: Store;
  readonly accessChanges: AccessChanges;
  readonly changes: Changes;
  readonly clock: WallClock;
  /** The URL of the pages; undefined if none are served. */
  readonly pagesUrl: () => URL | undefined;
}

export class ConnectionPolicies {
  readonly #options: ConnectionPoliciesOptions;

  constructor(options: ConnectionPoliciesOptions) {
    this.#options = options;
  }

  get deployment(): BrowserOnlySetting {
    return this.#options.deployment;
  }

  /** Whether only browsers may connect as `user` to the workspace, and why. */
  by(
    user: Pick<UserRow, "connection_policy">,
    workspace: Pick<WorkspaceRow, "connection_policy">,
  ): BrowserOnlyBy | undefined {
    return browserOnlyBy({
      deployment: this.#options.deployment,
      user: user.connection_policy,
      workspace: workspace.connection_policy,
    });
  }

  /** Like {@link by}, for restrictions that apply regardless of the workspace's policy. */
  byAnyWorkspace(user: Pick<UserRow, "connection_policy">): BrowserOnlyBy | undefined {
    return this.by(user, { connection_policy: "any" });
  }

  /** The refusal of a client that is not a browser; undefined if it may connect, or the agent does not exist. */
  async refusal(user: UserRow, agentId: string): Promise<DomainError | undefined> {
    const workspace = await this.#options.store.workspaces.ofAgent(agentId);
    return workspace === undefined ? undefined : await this.refusalAt(user, workspace);
  }

  /** Like {@link refusal}, for an agent of that workspace. */
  async refusalAt(user: UserRow, workspace: WorkspaceRow): Promise<DomainError | undefined> {
    const { store, pagesUrl } = this.#options;
    if (this.by(user, workspace) === undefined) return undefined;
    const pages = pagesUrl();
    if (pages === undefined) return new DomainError("browser-only", NON_BROWSER_REFUSED);
    const owner = (await store.users.shownOf([workspace.owner_id])).get(workspace.owner_id)?.username ?? "me";
    const terminal = new URL(`/@${owner}/${workspace.name}/terminal`, pages);
    return new DomainError("browser-only", NON_BROWSER_REFUSED, { detail: `Use the web terminal at ${terminal}` });
  }

  /** The refusal of a terminal that the server could read; undefined if the workspace accepts one. */
  async terminalRefusal(agent: AgentRow): Promise<DomainError | undefined> {
    const workspace = await this.#options.store.workspaces.byId(agent.workspace_id);
    if (workspace?.require_e2e !== 1) return undefined;
    return new DomainError("browser-only", "This workspace accepts only end-to-end encrypted terminals.", {
      detail: "Switch the terminal's page to end-to-end, or use the command line",
    });
  }

  async setForUser(user: UserRow, policy: ConnectionPolicy): Promise<UserRow> {
    const { store, accessChanges, clock } = this.#options;
    await accessChanges.transaction(async ({ users }, ends) => {
      await users.setConnectionPolicy(user.id, policy, clock.now());
      if (policy === "browser_only") ends({ kind: "browser-only", userId: user.id });
    });
    const stored = await store.users.byId(user.id);
    if (stored === undefined) throw notFound();
    for (const { id } of await store.workspaces.list({ ownerId: user.id, nameContains: undefined })) this.#changed(id);
    return stored;
  }

  async setForWorkspace(workspace: WorkspaceRow, request: WorkspacePolicyRequest): Promise<WorkspaceRow> {
    const { accessChanges, clock } = this.#options;
    const { policy, require_e2e: requireE2e } = request;
    const change = {
      connection_policy: policy,
      require_e2e: requireE2e === undefined ? undefined : Number(requireE2e),
    };
    const stored = await accessChanges.transaction(async ({ workspaces, agents }, ends) => {
      await workspaces.setConnectionPolicy(workspace.id, change, clock.now());
      const row = await workspaces.byId(workspace.id);
      if (row === undefined) throw notFound();
      if (this.by({ connection_policy: "inherit" }, row) !== undefined) {
        const rows = await agents.ofWorkspace(workspace.id);
        ends({ kind: "browser-only", agentIds: rows.map((agent) => agent.id) });
      }
      return row;
    });
    this.#changed(workspace.id);
    return stored;
  }

  #changed(workspaceId: string): void {
    this.#options.changes.publish({ kind: "workspace", workspaceId });
  }
}
