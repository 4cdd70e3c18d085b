/**
 * Uses of apps that workspace proxies report. A report counts only for a workspace that the proxy serves, and proves nothing
 * else.
 */
import type { AppUse } from "coder-protocol/rest/proxy-apps";
import { Counter, type Registry } from "prom-client";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { ProxyGrants } from "./proxy-grants.ts";

export interface ProxyUsesOptions {
  readonly grants: Pick<ProxyGrants, "workspacesOf">;
  /** Called after a signed-in user has used a workspace. */
  readonly onUse: (workspaceId: string) => void;
  readonly metrics: Registry;
}

export class ProxyUses {
  readonly #options: ProxyUsesOptions;
  readonly #reported: Counter<"access_method" | "counted">;

  constructor(options: ProxyUsesOptions) {
    this.#options = options;
    this.#reported = new Counter({
      name: "coder_wsproxy_app_uses_total",
      help: "Uses of apps that workspace proxies reported, and whether they count: they do where the proxy serves the workspace to this user",
      labelNames: ["access_method", "counted"],
      registers: [options.metrics],
    });
  }

  async record({ id }: WorkspaceProxyRow, uses: readonly AppUse[]): Promise<void> {
    const served = await this.#options.grants.workspacesOf(id);
    for (const { access_method: method, user_id: userId, workspace_id: workspaceId } of uses) {
      const counts = served.get(workspaceId.toLowerCase())?.has(userId.toLowerCase()) === true;
      this.#reported.inc({ access_method: method, counted: String(counts) });
      if (counts) this.#options.onUse(workspaceId.toLowerCase());
    }
  }
}
