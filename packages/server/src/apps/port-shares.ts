/** Ports of workspaces that are shared with other users. */
import type { DeletePortShareRequest, ShareLevel, upsertPortShareRequest } from "coder-protocol/rest/apps";
import type { z } from "zod";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import { narrowerLevel } from "../base/share-level.ts";
import { type AppChoiceFields, choiceColumns, choiceFields } from "../db/app-choices.ts";
import type { NamedShareRow, PortShareKey } from "../db/port-shares.ts";
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

/** Returned rows carry the effective expiry: a limit that is lowered later applies to existing shares too. */
export class PortShareService {
  readonly #options: PortSharesOptions;

  constructor(options: PortSharesOptions) {
    this.#options = options;
  }

  /** The unexpired shares of a workspace. */
  async list(workspace: WorkspaceRow): Promise<PortShareRow[]> {
    const now = this.#options.clock.now();
    const rows = await this.#options.store.portShares.ofWorkspace(workspace.id);
    return this.#counted(rows, now);
  }

  /** The unexpired shares of all workspaces. */
  async all(): Promise<NamedShareRow[]> {
    const now = this.#options.clock.now();
    return this.#counted(await this.#options.store.portShares.all(now), now);
  }

  /** Finds a share, even an expired one. */
  async find(key: PortShareKey): Promise<PortShareRow | undefined> {
    const row = await this.#options.store.portShares.find(key);
    return row && { ...row, expires_at: this.#endOf(row) };
  }

  /**
   * Adds or changes a share; the level "owner" removes it. A share keeps a level that the administrator no longer allows. Throws
   * DomainError "invalid".
   */
  async put(workspace: WorkspaceRow, by: UserRow, request: UpsertRequest): Promise<PortShareRow> {
    const { clock, store } = this.#options;
    const now = clock.now();
    const agents = await store.agents.ofWorkspace(workspace.id);
    const agent = agents.find(({ name }) => name === request.agent_name);
    if (agent === undefined) throw new DomainError("invalid", "Agent not found.");
    const key = { workspace_id: workspace.id, agent_name: agent.name, port: request.port };
    const row = await store.transaction(async ({ portShares, workspaces }) => {
      await workspaces.lock(workspace.id);
      const present = await portShares.find(key);
      const kept = present !== undefined && this.#isOver(present, now) ? undefined : present;
      if (request.share_level !== kept?.level) this.#requireAllowed(request.share_level);
      const wanted: PortShareRow = {
        ...key,
        protocol: request.protocol,
        level: request.share_level,
        label: request.label ?? kept?.label ?? "",
        host_header: request.host_header ?? kept?.host_header ?? "preserve",
        ...choices(request, kept),
        created_by: by.id,
        ...this.#life(request.expires_at, kept, now),
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
    return { ...row, expires_at: this.#endOf(row) };
  }

  /** Throws DomainError "not-found" if there is no such share. */
  async remove(workspace: WorkspaceRow, { agent_name, port }: DeletePortShareRequest): Promise<void> {
    const removed = await this.#options.store.portShares.remove({ workspace_id: workspace.id, agent_name, port });
    if (!removed) throw notFound();
    this.#changed(workspace);
  }

  #requireAllowed(level: ShareLevel): void {
    const { maxLevel } = this.#options;
    if (narrowerLevel(level, maxLevel) === level) return;
    throw new DomainError("invalid", "Port sharing level not allowed.", {
      detail: `An administrator allows at most the level "${maxLevel}" (--max-share-level)`,
    });
  }

  /** @param text The requested expiry. If it is undefined or equal to the current one, the share's lifetime stays as it is. */
  #life(
    text: string | null | undefined,
    kept: PortShareRow | undefined,
    now: number,
  ): Pick<PortShareRow, "created_at" | "expires_at"> {
    const asked = text === undefined || text === null ? null : Date.parse(text);
    if (kept !== undefined && (text === undefined || asked === this.#endOf(kept))) {
      const { created_at, expires_at } = kept;
      return { created_at, expires_at };
    }
    if (asked !== null && asked <= now) throw new DomainError("invalid", "expires_at lies in the past.");
    const latest = this.#latestEnd(now);
    if (asked !== null && latest !== null && asked > latest)
      throw new DomainError("invalid", "expires_at is too far away.", {
        detail: `An administrator allows shares until ${new Date(latest).toISOString()} at most (--max-share-duration)`,
      });
    return { created_at: now, expires_at: asked ?? latest };
  }

  #latestEnd(from: number): number | null {
    const { maxDurationMs } = this.#options;
    return maxDurationMs === undefined ? null : from + maxDurationMs;
  }

  /** The effective expiry. */
  #endOf({ created_at: from, expires_at: end }: PortShareRow): number | null {
    const latest = this.#latestEnd(from);
    return end === null || (latest !== null && latest < end) ? latest : end;
  }

  #isOver(row: PortShareRow, now: number): boolean {
    const end = this.#endOf(row);
    return end !== null && end <= now;
  }

  #counted<T extends PortShareRow>(rows: readonly T[], now: number): T[] {
    return rows.filter((row) => !this.#isOver(row, now)).map((row) => ({ ...row, expires_at: this.#endOf(row) }));
  }

  #changed(workspace: WorkspaceRow): void {
    this.#options.changes.publish({ kind: "workspace", workspaceId: workspace.id });
  }
}

/** Options that the request omits keep their values. */
function choices(request: UpsertRequest, kept: PortShareRow | undefined): AppChoiceColumns {
  const fields = kept === undefined ? NO_CHOICE_FIELDS : choiceFields(kept);
  return choiceColumns({
    cors: request.cors ?? fields.cors,
    cors_origins: request.cors_origins ?? fields.cors_origins,
    also: request.also ?? fields.also,
    identity_headers: request.identity_headers ?? fields.identity_headers,
  });
}
