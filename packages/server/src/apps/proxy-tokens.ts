/** Decides what a workspace proxy may serve to a visitor, and signs its app tokens. */
import { randomBytes } from "node:crypto";
import { isUuid } from "coder-protocol/addresses";
import type { issueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import type { z } from "zod";
import { parseUserToken } from "../auth/tokens.ts";
import { type AppTokenFacts, proxyAudience, signAppToken } from "../base/app-token.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError } from "../base/domain-error.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { ProxyGrants } from "./proxy-grants.ts";
import type { ProxyKeys } from "./proxy-keys.ts";
import type { AppResolver } from "./resolver.ts";
import type { TerminalRight, TerminalRights } from "./terminal-rights.ts";
import type { Visitors } from "./visitors.ts";

const HANDLE_BYTES = 32;

export type AppTokenQuestion = z.output<typeof issueAppTokenRequest>;

export interface ProxyTokensOptions {
  readonly deploymentId: string;
  readonly keys: ProxyKeys;
  readonly grants: Pick<ProxyGrants, "put" | "byHandle">;
  readonly terminals: TerminalRights;
  readonly resolver: Pick<AppResolver, "state">;
  readonly visitors: Pick<Visitors, "byToken">;
  readonly clock: WallClock;
}

export class ProxyTokens {
  readonly #options: ProxyTokensOptions;

  constructor(options: ProxyTokensOptions) {
    this.#options = options;
  }

  /** Answers a proxy that asks for a visitor. Throws DomainError. */
  async issue(proxy: WorkspaceProxyRow, question: AppTokenQuestion): Promise<string> {
    const { access_method: method, agent_name_or_id: agentId } = question.app_request;
    if (method !== "terminal")
      throw new DomainError("invalid", "Workspace proxies of this deployment serve no apps", {
        detail: "Open the app at the deployment itself.",
      });
    return await this.#visitorsTerminal(proxy, agentId.toLowerCase(), question.session_token);
  }

  /**
   * For terminals of an agent, by a login or API token. Throws DomainError.
   * @param handle By which the proxy asks again; it holds for this proxy alone.
   */
  async terminal(
    proxy: WorkspaceProxyRow,
    keyId: string,
    agentId: string,
    handle = randomBytes(HANDLE_BYTES).toString("base64url"),
  ): Promise<string> {
    const { grants, resolver, terminals } = this.#options;
    const right = await terminals.decide(keyId, agentId);
    if (right instanceof DomainError) throw right;
    const { agent, owner, user, workspace } = right;
    await grants.put({
      proxyId: proxy.id,
      workspace_id: workspace.id,
      owner_id: owner.id,
      agent_id: agent.id,
      visitor: { keyId, userId: user.id },
      app: { method: "terminal" },
      handle,
    });
    return this.#sign(proxy, terminalFacts(right, handle, await resolver.state(workspace, agent)));
  }

  /** By a token of the visitor, or by the handle of a terminal that is open. */
  async #visitorsTerminal(proxy: WorkspaceProxyRow, agentId: string, credential: string): Promise<string> {
    if (!isUuid(agentId)) throw new DomainError("invalid", "agent_name_or_id has to be the id of an agent");
    if (parseUserToken(credential) !== undefined) {
      const found = await this.#options.visitors.byToken(credential);
      if (found === undefined) throw unauthenticated();
      return await this.terminal(proxy, found.visitor.keyId, agentId);
    }
    const row = await this.#options.grants.byHandle(proxy.id, credential);
    if (row === undefined || row.agent_id !== agentId) throw unauthenticated();
    return await this.terminal(proxy, row.key_id, agentId, credential);
  }

  #sign(proxy: WorkspaceProxyRow, facts: AppTokenFacts): string {
    const { clock, deploymentId, keys } = this.#options;
    const now = clock.now();
    const parties = { issuer: deploymentId, audience: proxyAudience(proxy.id), now };
    return signAppToken(facts, keys.signing(proxy, now), parties);
  }
}

function terminalFacts(
  { agent, endsAt, owner, user, workspace }: TerminalRight,
  jti: string,
  state: AppTokenFacts["grant"]["state"],
): AppTokenFacts {
  return {
    jti,
    access_method: "terminal",
    base_path: `/api/v2/workspaceagents/${agent.id}/pty`,
    app_prefix: "",
    username_or_id: "",
    workspace_name_or_id: "",
    agent_name_or_id: agent.id,
    app_slug_or_port: "",
    user_id: user.id,
    workspace_id: workspace.id,
    agent_id: agent.id,
    app_url: "",
    grant: {
      visitor: { id: user.id, role: user.role, username: user.username, email: user.email },
      owner: { id: owner.id, username: owner.username },
      workspace: { id: workspace.id, name: workspace.name },
      agent: { id: agent.id, name: agent.name },
      state,
      ends_at: endsAt,
    },
  };
}

function unauthenticated(): DomainError {
  return new DomainError("unauthenticated", "The session that the terminal rests on is not valid any more");
}
