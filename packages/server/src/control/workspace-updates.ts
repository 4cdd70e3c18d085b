/** The stream of one user's workspaces and agents: first everything, then what changed. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { uuidToBytes } from "coder-protocol/addresses";
import { Workspace_Status, type WorkspaceUpdateSchema } from "coder-protocol/gen/tailnet_pb.js";
import type { WorkspaceBuildRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { Changes } from "../workspaces/changes.ts";

export type WorkspaceUpdateMessage = MessageInitShape<typeof WorkspaceUpdateSchema>;

export interface UpdateSink {
  /** Resolves when there is room for another update. */
  send(update: WorkspaceUpdateMessage): Promise<void>;
  /** The stream has failed; nothing follows. */
  failed(error: unknown): void;
}

interface WorkspaceState {
  readonly name: string;
  readonly status: Workspace_Status;
  readonly agents: ReadonlyMap<string, string>;
}

/** A workspace without a provisioner is never in transition. */
const STATUS: Readonly<Record<WorkspaceBuildRow["transition"], Workspace_Status>> = {
  start: Workspace_Status.RUNNING,
  stop: Workspace_Status.STOPPED,
  delete: Workspace_Status.DELETED,
};

export class WorkspaceUpdates {
  readonly #store: Store;
  readonly #changes: Changes;
  /** Look-ups in progress: all followers ask about the same change at the same time. */
  readonly #owners = new Map<string, Promise<string | undefined>>();

  constructor(store: Store, changes: Changes) {
    this.#store = store;
    this.#changes = changes;
  }

  /**
   * Sends the state of all workspaces of a user now and the differences after each change, until the returned function is called.
   * Changes that occur while one is being read or sent are combined: a slow reader gets fewer updates, not late ones.
   */
  follow(ownerId: string, sink: UpdateSink): () => void {
    let known: ReadonlyMap<string, WorkspaceState> = new Map();
    let first = true;
    let dirty = true;
    let running = false;
    let stopped = false;

    const run = async (): Promise<void> => {
      while (dirty && !stopped) {
        dirty = false;
        const state = await this.#read(ownerId);
        const update = difference(known, state);
        known = state;
        if (stopped || (update === undefined && !first)) continue;
        first = false;
        await sink.send(update ?? {});
      }
    };
    const trigger = (): void => {
      dirty = true;
      if (running || stopped) return;
      running = true;
      run().then(
        () => {
          running = false;
          if (dirty) trigger();
        },
        (error: unknown) => sink.failed(error),
      );
    };
    const leave = this.#changes.subscribe("workspaces", (change) => {
      if (change.kind !== "workspace" || stopped) return;
      // Most changes concern workspaces of other users.
      if (known.has(change.workspaceId)) trigger();
      else {
        this.#ownerOf(change.workspaceId).then(
          (owner) => {
            if (owner === ownerId) trigger();
          },
          (error: unknown) => sink.failed(error),
        );
      }
    });
    trigger();
    return () => {
      stopped = true;
      leave();
    };
  }

  #ownerOf(workspaceId: string): Promise<string | undefined> {
    let owner = this.#owners.get(workspaceId);
    if (owner === undefined) {
      owner = this.#store.workspaces
        .byId(workspaceId)
        .then((workspace) => workspace?.owner_id)
        .finally(() => this.#owners.delete(workspaceId));
      this.#owners.set(workspaceId, owner);
    }
    return owner;
  }

  async #read(ownerId: string): Promise<Map<string, WorkspaceState>> {
    const { workspaces, builds, agents } = this.#store;
    const owned = await workspaces.list({ ownerId, nameContains: undefined });
    const ids = owned.map((workspace) => workspace.id);
    const latest = await builds.latestOf(ids);
    const agentRows = Map.groupBy(await agents.ofWorkspaces(ids), (agent) => agent.workspace_id);
    const state = new Map<string, WorkspaceState>();
    for (const workspace of owned) {
      const build = latest.get(workspace.id);
      if (build === undefined) continue;
      const rows = build.transition === "start" ? (agentRows.get(workspace.id) ?? []) : [];
      state.set(workspace.id, {
        name: workspace.name,
        status: STATUS[build.transition],
        agents: new Map(rows.map((agent) => [agent.id, agent.name])),
      });
    }
    return state;
  }
}

/** The update that leads from one state to the other; undefined if they are equal. */
function difference(
  from: ReadonlyMap<string, WorkspaceState>,
  to: ReadonlyMap<string, WorkspaceState>,
): WorkspaceUpdateMessage | undefined {
  const upsertedWorkspaces = [];
  const upsertedAgents = [];
  const deletedWorkspaces = [];
  const deletedAgents = [];
  for (const [id, workspace] of to) {
    const before = from.get(id);
    if (before?.name !== workspace.name || before.status !== workspace.status) {
      upsertedWorkspaces.push({ id: uuidToBytes(id), name: workspace.name, status: workspace.status });
    }
    for (const [agentId, name] of workspace.agents) {
      if (before?.agents.get(agentId) !== name) upsertedAgents.push(agentMessage(agentId, name, id));
    }
  }
  for (const [id, before] of from) {
    const workspace = to.get(id);
    if (workspace === undefined) {
      deletedWorkspaces.push({ id: uuidToBytes(id), name: before.name, status: Workspace_Status.DELETED });
    }
    for (const [agentId, name] of before.agents) {
      if (workspace?.agents.has(agentId) !== true) deletedAgents.push(agentMessage(agentId, name, id));
    }
  }
  const count = upsertedWorkspaces.length + upsertedAgents.length + deletedWorkspaces.length + deletedAgents.length;
  return count === 0 ? undefined : { upsertedWorkspaces, upsertedAgents, deletedWorkspaces, deletedAgents };
}

function agentMessage(id: string, name: string, workspaceId: string) {
  return { id: uuidToBytes(id), name, workspaceId: uuidToBytes(workspaceId) };
}
