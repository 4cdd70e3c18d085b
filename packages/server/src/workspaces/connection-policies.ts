/**
 * Decides for which users and workspaces only browsers may connect. A change is durable and published when its promise resolves.
 */
import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import {
  type BrowserOnlyRule,
  browserOnlyRule,
  type ConnectionPolicy,
  type DeploymentPolicy,
  type WorkspacePolicyRequest,
} from "coder-protocol/rest/connection-policy";
import type { AccessChanges } from "../auth/access-changes.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import { Recent } from "../base/recent.ts";
import type { AgentRow, UserRow, WorkspaceRow } from "../db/schema.ts";
import type { Settings } from "../db/settings.ts";
import type { Store } from "../db/store.ts";
import { browserOnlyBy, stricter } from "./browser-only.ts";
import type { Changes } from "./changes.ts";

/** A value that only a later release knows counts as the strictest one. */
const storedRule = browserOnlyRule.catch("enforced");

export interface ConnectionPoliciesOptions {
  /** The value of --browser-only. Owners may set a stricter rule, but not a weaker one. */
  readonly startedWith: BrowserOnlyRule;
  readonly store: Store;
  readonly accessChanges: AccessChanges;
  readonly changes: Changes;
  readonly clock: WallClock;
  /** Returns milliseconds; never goes backwards. */
  readonly monotonicNow: () => number;
  /** The URL of the pages; undefined if none are served. */
  readonly pagesUrl: () => URL | undefined;
}

export class ConnectionPolicies {
  readonly #options: ConnectionPoliciesOptions;
  /** Each control connection asks for it several times. */
  readonly #rules: Recent<BrowserOnlyRule>;

  constructor(options: ConnectionPoliciesOptions) {
    this.#options = options;
    this.#rules = new Recent(options.monotonicNow);
    options.changes.subscribe("connection-rule", () => this.#rules.forget());
  }

  /** The rule that applies in the whole deployment. */
  async rule(): Promise<BrowserOnlyRule> {
    return (await this.#rules.get("", async () => (await this.deployment()).browser_only)) ?? "enforced";
  }

  async deployment(): Promise<DeploymentPolicy> {
    return await this.#deployment(this.#options.store.settings);
  }

  /** Whether only browsers may connect as the user, regardless of the policy of the workspace. */
  async inEveryWorkspace({ connection_policy: user }: Pick<UserRow, "connection_policy">): Promise<boolean> {
    return browserOnlyBy({ deployment: await this.rule(), user, workspace: "any" }) !== undefined;
  }

  /**
   * Returns the agents that the deployment's rule leaves open to any client; undefined means all of them. Reads the rule again,
   * and so does every later decision.
   */
  async exemptAgents(): Promise<ReadonlySet<string> | undefined> {
    this.#rules.forget();
    const rule = await this.rule();
    if (rule === "off") return undefined;
    return new Set(rule === "enforced" ? [] : await this.#options.store.agents.idsByConnectionPolicy("any"));
  }

  /** The refusal of a client that is not a browser; undefined if it may connect, or the agent does not exist. */
  async refusal(user: UserRow, agentId: string): Promise<DomainError | undefined> {
    const workspace = await this.#options.store.lookups.workspaceOf(agentId);
    return workspace === undefined ? undefined : await this.refusalAt(user, workspace);
  }

  /** Like {@link refusal}, for an agent of that workspace. */
  async refusalAt(user: UserRow, workspace: WorkspaceRow): Promise<DomainError | undefined> {
    const { store, pagesUrl } = this.#options;
    const policies = { user: user.connection_policy, workspace: workspace.connection_policy };
    if (browserOnlyBy({ deployment: await this.rule(), ...policies }) === undefined) return undefined;
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

  async setForDeployment(rule: BrowserOnlyRule): Promise<DeploymentPolicy> {
    const { accessChanges, changes } = this.#options;
    const policy = await accessChanges.transaction(async ({ settings }, ends) => {
      await settings.lockDeployment();
      await settings.replace("browser_only", rule);
      const stored = await this.#deployment(settings);
      if (stored.browser_only !== "off") ends({ kind: "browser-only", everyone: true });
      return stored;
    });
    changes.publish({ kind: "connection-rule" });
    return policy;
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
    const stored = await accessChanges.transaction(async ({ workspaces, agents, settings }, ends) => {
      // The rule of the deployment and what is exempt from it change one after the other.
      await settings.lockDeployment();
      await workspaces.setConnectionPolicy(workspace.id, change, clock.now());
      const row = await workspaces.byId(workspace.id);
      if (row === undefined) throw notFound();
      const { browser_only: deployment } = await this.#deployment(settings);
      if (browserOnlyBy({ deployment, user: "inherit", workspace: row.connection_policy }) !== undefined) {
        const rows = await agents.ofWorkspace(workspace.id);
        ends({ kind: "browser-only", agentIds: rows.map((agent) => agent.id) });
      }
      return row;
    });
    this.#changed(workspace.id);
    return stored;
  }

  async #deployment(settings: Pick<Settings, "read">): Promise<DeploymentPolicy> {
    const { startedWith } = this.#options;
    const set = storedRule.parse((await settings.read("browser_only")) ?? "off");
    return { browser_only: stricter(startedWith, set), set, started_with: startedWith };
  }

  #changed(workspaceId: string): void {
    this.#options.changes.publish({ kind: "workspace", workspaceId });
  }
}
