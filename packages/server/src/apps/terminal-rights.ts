/** Decides who may open the terminals of an agent at a workspace proxy. */
import type { Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import { type DomainError, notFound } from "../base/domain-error.ts";
import type { AgentRow, UserRow, WorkspaceRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { ConnectionPolicies } from "../workspaces/connection-policies.ts";

export interface TerminalRightsOptions {
  readonly store: Pick<Store, "apiKeys" | "users" | "workspaces">;
  readonly authenticator: Pick<Authenticator, "canReachAgent">;
  readonly policies: Pick<ConnectionPolicies, "terminalRefusal">;
  readonly clock: WallClock;
}

export interface TerminalRight {
  readonly user: UserRow;
  readonly keyId: string;
  /** When the login expires unless it is renewed. */
  readonly endsAt: number;
  readonly owner: UserRow;
  readonly workspace: WorkspaceRow;
  readonly agent: AgentRow;
}

export class TerminalRights {
  readonly #options: TerminalRightsOptions;

  constructor(options: TerminalRightsOptions) {
    this.#options = options;
  }

  /** Like {@link decide}, without the reason for a refusal. */
  async holds(keyId: string, agentId: string): Promise<boolean> {
    return "workspace" in (await this.decide(keyId, agentId));
  }

  /** Decides for a login or API token; a token that is valid only for apps opens no terminal. */
  async decide(keyId: string, agentId: string): Promise<TerminalRight | DomainError> {
    const { authenticator, clock, policies, store } = this.#options;
    const key = await store.apiKeys.byId(keyId);
    if (key === undefined || key.scope !== "all" || key.expires_at <= clock.now()) return notFound();
    const user = await store.users.byId(key.user_id);
    if (user === undefined || user.status !== "active") return notFound();
    const agent = await authenticator.canReachAgent(user, agentId);
    const workspace = agent && (await store.workspaces.byId(agent.workspace_id));
    const owner = workspace && (await store.users.byId(workspace.owner_id));
    if (agent === undefined || workspace === undefined || owner === undefined) return notFound();
    const refusal = await policies.terminalRefusal(agent);
    return refusal ?? { user, keyId, endsAt: key.expires_at, owner, workspace, agent };
  }
}
