import type { WallClock } from "../../base/clock.ts";
import type { Tables } from "../../db/store.ts";
import { agentMetadataView } from "../views/agents.ts";
import type { WorkspacePresenter } from "../views/presenter.ts";

/** Data that is watched: read again after every change of the topic. */
export interface Watched {
  /** A topic of `Changes`. */
  readonly topic: string;
  /** Used in the log and the error event. */
  readonly name: string;
  /** `last`: nothing will follow. Undefined if it was removed. */
  readonly read: () => Promise<{ readonly data: unknown; readonly last: boolean } | undefined>;
  /** A deleted workspace is sent once more as deleted before the watch ends. */
  readonly showsDeletion: boolean;
  /** Whether a ping event is sent before the first data. */
  readonly pingsFirst: boolean;
  /** The data is sent again after this time even if it is the same, because it contains its own age. */
  readonly repeatMs?: number;
}

export interface WatchablesOptions {
  readonly tables: Pick<Tables, "workspaces" | "agentScripts">;
  readonly presenter: WorkspacePresenter;
  readonly clock: WallClock;
  readonly repeatMetadataMs: number;
}

/** The data that clients may watch. */
export class Watchables {
  readonly #options: WatchablesOptions;

  constructor(options: WatchablesOptions) {
    this.#options = options;
  }

  workspace(workspaceId: string): Watched {
    const { tables, presenter } = this.#options;
    return {
      topic: `workspace:${workspaceId}`,
      name: "workspace",
      showsDeletion: true,
      pingsFirst: true,
      read: async () => {
        const row = await tables.workspaces.byId(workspaceId);
        if (row === undefined) return undefined;
        return { data: await presenter.workspace(row), last: row.deleted_at !== null };
      },
    };
  }

  metadata(agentId: string): Watched {
    const { tables, clock, repeatMetadataMs } = this.#options;
    return {
      topic: `agent-metadata:${agentId}`,
      name: "agent metadata",
      showsDeletion: false,
      pingsFirst: false,
      repeatMs: repeatMetadataMs,
      read: async () => {
        const now = clock.now();
        const rows = await tables.agentScripts.metadata(agentId);
        return { data: rows.map((row) => agentMetadataView(row, now)), last: false };
      },
    };
  }
}
