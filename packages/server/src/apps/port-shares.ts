/** Ports of workspaces that others may use. */
import type { DeletePortShareRequest, ShareLevel, upsertPortShareRequest } from "coder-protocol/rest/apps";
import type { z } from "zod";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import { narrowerLevel } from "../base/share-level.ts";
import { type AppChoiceFields, choiceColumns, choiceFields } from "../db/app-choices.ts";
import type { AppChoiceColumns, PortShareRow, UserRow, WorkspaceRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { Changes } from "../workspaces/changes.ts";

const MAX_SHARES_PER_WORKSPACE = 256;
const NO_CHOICE_FIELDS: AppChoiceFields = { cors: "simple", cors_origins: [], also: [], identity_headers: false };

type UpsertRequest = z.infer<typeof upsertPortShareRequest>;

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
    return rows.filter((row) => !isOver(row, now));
  }

  /** Adds or changes a share; the level "owner" removes it. Throws DomainError "invalid". */
  async put(workspace: WorkspaceRow, by: UserRow, request: UpsertRequest): Promise<PortShareRow> {
    const { clock, maxLevel, store } = this.#options;
    const now = clock.now();
    const agents = await store.agents.ofWorkspace(workspace.id);
    const agent = agents.find(({ name }) => name === request.agent_name);
    if (agent === undefined) throw new DomainError("invalid", "Agent not found.");
    if (narrowerLevel(request.share_level, maxLevel) !== request.share_level)
      throw new DomainError("invalid", "Port sharing level not allowed.", {
        detail: `An administrator allows at most the level "${maxLevel}" (--max-share-level)`,
      });
    const key = { workspace_id: workspace.id, agent_name: agent.name, port: request.port };
    const row = await store.transaction(async ({ portShares, workspaces }) => {
      await workspaces.lock(workspace.id);
      const present = await portShares.find(key);
      const kept = present !== undefined && isOver(present, now) ? undefined : present;
      const wanted: PortShareRow = {
        ...key,
        protocol: request.protocol,
        level: request.share_level,
        label: request.label ?? kept?.label ?? "",
        expires_at: this.#end(request.expires_at, kept?.expires_at ?? null, now),
        host_header: request.host_header ?? kept?.host_header ?? "preserve",
        ...choices(request, kept),
        created_by: by.id,
        created_at: now,
      };
      if (wanted.level === "owner") {
        await portShares.remove(key);
        return wanted;
      }
      if (present === undefined && (await portShares.ofWorkspace(workspace.id)).length >= MAX_SHARES_PER_WORKSPACE)
        throw new DomainError(
          "invalid",
          `A workspace has at most ${MAX_SHARES_PER_WORKSPACE} shared ports; remove one first`,
        );
      await portShares.put(wanted);
      return wanted;
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

  /** @param text Undefined: the end stays. */
  #end(text: string | null | undefined, present: number | null, now: number): number | null {
    const { maxDurationMs } = this.#options;
    if (text === undefined && present !== null) return present;
    const asked = text === undefined || text === null ? null : Date.parse(text);
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

function isOver({ expires_at: end }: PortShareRow, now: number): boolean {
  return end !== null && end <= now;
}

/** What the request leaves out stays as it is. */
function choices(request: UpsertRequest, kept: PortShareRow | undefined): AppChoiceColumns {
  const fields = kept === undefined ? NO_CHOICE_FIELDS : choiceFields(kept);
  return choiceColumns({
    cors: request.cors ?? fields.cors,
    cors_origins: request.cors_origins ?? fields.cors_origins,
    also: request.also ?? fields.also,
    identity_headers: request.identity_headers ?? fields.identity_headers,
  });
}
