/** Ports of workspaces that others may use. */
import type { DeletePortShareRequest, ShareLevel, upsertPortShareRequest } from "coder-protocol/rest/apps";
import type { z } from "zod";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import { narrowerLevel } from "../base/share-level.ts";
import { choiceColumns } from "../db/app-choices.ts";
import type { PortShareRow, UserRow, WorkspaceRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { Changes } from "../workspaces/changes.ts";

const MAX_SHARES_PER_WORKSPACE = 256;

export interface PortSharesOptions {
  readonly store: Store;
  readonly changes: Changes;
  readonly clock: WallClock;
  readonly maxLevel: ShareLevel;
  /** Undefined: no limit. */
  readonly maxDurationMs: number | undefined;
}

export class PortShareService {
  readonly #options: PortSharesOptions;

  constructor(options: PortSharesOptions) {
    this.#options = options;
  }

  /** Those that have not expired. */
  async list(workspace: WorkspaceRow): Promise<PortShareRow[]> {
    const now = this.#options.clock.now();
    const rows = await this.#options.store.portShares.ofWorkspace(workspace.id);
    return rows.filter(({ expires_at: end }) => end === null || end > now);
  }

  /** Adds or replaces a share; the level "owner" removes it. Throws DomainError "invalid". */
  async put(
    workspace: WorkspaceRow,
    by: UserRow,
    request: z.infer<typeof upsertPortShareRequest>,
  ): Promise<PortShareRow> {
    const { clock, maxLevel, store } = this.#options;
    const now = clock.now();
    const agents = await store.agents.ofWorkspace(workspace.id);
    const agent = agents.find(({ name }) => name === request.agent_name);
    if (agent === undefined) throw new DomainError("invalid", "Agent not found.");
    if (narrowerLevel(request.share_level, maxLevel) !== request.share_level)
      throw new DomainError("invalid", "Port sharing level not allowed.", {
        detail: `An administrator allows at most the level "${maxLevel}" (--max-share-level)`,
      });
    const row: PortShareRow = {
      workspace_id: workspace.id,
      agent_name: agent.name,
      port: request.port,
      protocol: request.protocol,
      level: request.share_level,
      label: request.label,
      expires_at: this.#end(request.expires_at, now),
      host_header: request.host_header,
      ...choiceColumns(request),
      created_by: by.id,
      created_at: now,
    };
    await store.transaction(async ({ portShares, workspaces }) => {
      await workspaces.lock(workspace.id);
      if (row.level === "owner") {
        await portShares.remove(row);
        return;
      }
      const others = await portShares.ofWorkspace(workspace.id);
      if ((await portShares.find(row)) === undefined && others.length >= MAX_SHARES_PER_WORKSPACE)
        throw new DomainError(
          "invalid",
          `A workspace has at most ${MAX_SHARES_PER_WORKSPACE} shared ports; remove one first`,
        );
      await portShares.put(row);
    });
    this.#changed(workspace);
    return row;
  }

  /** Throws DomainError "not-found" when there was none. */
  async remove(workspace: WorkspaceRow, { agent_name, port }: DeletePortShareRequest): Promise<void> {
    const removed = await this.#options.store.portShares.remove({ workspace_id: workspace.id, agent_name, port });
    if (!removed) throw notFound();
    this.#changed(workspace);
  }

  #end(text: string | null, now: number): number | null {
    const { maxDurationMs } = this.#options;
    const asked = text === null ? null : Date.parse(text);
    if (asked !== null && asked <= now) throw new DomainError("invalid", "expires_at lies in the past.");
    if (maxDurationMs === undefined) return asked;
    const latest = now + maxDurationMs;
    if (asked !== null && asked > latest)
      throw new DomainError("invalid", "expires_at is too far away.", {
        detail: `An administrator allows shares until ${new Date(latest).toISOString()} at most (--max-share-duration)`,
      });
    return asked ?? latest;
  }

  #changed(workspace: WorkspaceRow): void {
    this.#options.changes.publish({ kind: "workspace", workspaceId: workspace.id });
  }
}
