import type { UserRow } from "../../db/schema.ts";
import type { Changes } from "../../workspaces/changes.ts";
import type { WorkspaceQuery } from "../../workspaces/workspace-query.ts";
import type { WorkspaceSearch } from "../../workspaces/workspace-search.ts";
import type { Entries } from "./entries.ts";
import type { FeedSource } from "./feed.ts";
import { type ListTables, type NetworkOf, readRows, type StoredRow, withPaths } from "./list-rows.ts";
import type { WorkspaceOwners } from "./workspace-owners.ts";

export const MAX_ROWS = 2_000;
/** Paths and latencies change without a change in the store. */
const NETWORK_EVERY_MS = 2_000;
/** The state of an agent can change with time alone: one that does not connect times out. */
const REREAD_EVERY_MS = 15_000;
/** If more workspaces change at once, the whole list is read again. */
const MAX_CHANGED = 64;

export interface WorkspaceListDeps {
  readonly search: Pick<WorkspaceSearch, "visible">;
  readonly tables: ListTables;
  readonly owners: Pick<WorkspaceOwners, "of">;
  readonly changes: Changes;
  readonly network: NetworkOf;
  readonly now: () => number;
}

/** The workspaces that match a query. After a change only the changed workspaces are read. */
export class WorkspaceList implements FeedSource {
  readonly everyMs = NETWORK_EVERY_MS;
  readonly #deps: WorkspaceListDeps;
  readonly #user: UserRow;
  readonly #query: WorkspaceQuery;
  readonly #limit: number;
  readonly #changed = new Set<string>();
  readonly #rows = new Map<string, StoredRow>();
  readonly #texts = new Map<string, string>();
  #readAt = Number.NEGATIVE_INFINITY;
  #pathsAt = Number.NEGATIVE_INFINITY;

  constructor(deps: WorkspaceListDeps, of: { user: UserRow; query: WorkspaceQuery; limit: number }) {
    this.#deps = deps;
    this.#user = of.user;
    this.#query = of.query;
    this.#limit = of.limit;
  }

  watch(changed: () => void): () => void {
    return this.#deps.changes.subscribe("workspaces", (change) => {
      if (change.kind !== "workspace") {
        this.#readAt = Number.NEGATIVE_INFINITY;
        changed();
        return;
      }
      const { workspaceId } = change;
      const note = (): void => {
        this.#changed.add(workspaceId);
        changed();
      };
      if (this.#user.role === "owner" || this.#rows.has(workspaceId)) note();
      else
        this.#isOwn(workspaceId).then(
          (own) => own && note(),
          note, // the read that follows reports the failure
        );
    });
  }

  async read(): Promise<Entries> {
    const changed = [...this.#changed];
    this.#changed.clear();
    const now = this.#deps.now();
    if (now - this.#readAt >= REREAD_EVERY_MS || changed.length > MAX_CHANGED) await this.#readAll();
    else if (changed.length > 0) await this.#readSome(changed);
    // By half, because a timer may be early by the clock of this class.
    if (now - this.#pathsAt >= NETWORK_EVERY_MS / 2) this.#updatePaths(now);
    return new Map(this.#texts);
  }

  /** With a thousand open lists, a change in one workspace must not cost a thousand queries. */
  async #isOwn(workspaceId: string): Promise<boolean> {
    const owner = await this.#deps.owners.of(workspaceId);
    return owner === undefined || owner === this.#user.id;
  }

  async #readAll(): Promise<void> {
    const { search, tables, now } = this.#deps;
    this.#readAt = now();
    const found = await search.visible(this.#user, this.#query);
    const rows = await readRows(tables, found.slice(0, this.#limit), now());
    this.#rows.clear();
    this.#texts.clear();
    for (const row of rows) this.#put(row);
    this.#pathsAt = this.#readAt;
  }

  async #readSome(ids: readonly string[]): Promise<void> {
    const { search, tables, now } = this.#deps;
    const found = await search.visible(this.#user, this.#query, ids);
    const read = new Map((await readRows(tables, found, now())).map((row) => [row.id, row]));
    for (const id of ids) {
      const row = read.get(id);
      if (row === undefined) {
        this.#rows.delete(id);
        this.#texts.delete(id);
      } else if (this.#rows.has(id) || this.#rows.size < this.#limit) this.#put(row);
    }
  }

  #updatePaths(now: number): void {
    this.#pathsAt = now;
    for (const row of this.#rows.values()) if (row.agents.some(({ status }) => status === "connected")) this.#put(row);
  }

  #put(row: StoredRow): void {
    this.#rows.set(row.id, row);
    this.#texts.set(row.id, JSON.stringify(withPaths(row, this.#deps.network)));
  }
}
