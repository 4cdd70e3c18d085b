/**
 * What every control connection has to know before it is served. When thousands arrive together, those that ask at about the same
 * time share a statement.
 */
import { Gathered } from "../base/gathered.ts";
import type { StoredManifest } from "./agent-manifest.ts";
import type { Agents, OwnedAgent } from "./agents.ts";
import type { ApiKeys, KeyWithUser } from "./api-keys.ts";
import { databaseBusy } from "./postgres/failures.ts";
import type { UserRow, WorkspaceRow } from "./schema.ts";
import type { Users } from "./users.ts";
import type { Workspaces } from "./workspaces.ts";

interface AskedTables {
  readonly agents: Pick<Agents, "byTokenHashes" | "manifests">;
  readonly apiKeys: Pick<ApiKeys, "withUsers">;
  readonly users: Pick<Users, "byIds">;
  readonly workspaces: Pick<Workspaces, "ofAgents">;
}

export class Lookups {
  readonly #keys: Gathered<KeyWithUser>;
  readonly #users: Gathered<UserRow>;
  readonly #workspaces: Gathered<WorkspaceRow>;
  readonly #agents: Gathered<OwnedAgent>;
  readonly #manifests: Gathered<StoredManifest>;

  /** @param tables Outside of a transaction. */
  constructor({ agents, apiKeys, users, workspaces }: AskedTables) {
    this.#keys = gathered((ids) => apiKeys.withUsers(ids));
    this.#users = gathered((ids) => users.byIds(ids));
    this.#workspaces = gathered((ids) => workspaces.ofAgents(ids));
    this.#agents = gathered((hashes) => agents.byTokenHashes(hashes));
    this.#manifests = gathered((ids) => agents.manifests(ids));
  }

  /** A key with its user, because every request needs both. */
  key(id: string): Promise<KeyWithUser | undefined> {
    return this.#keys.get(id);
  }

  /** Undefined for a deleted user. */
  user(id: string): Promise<UserRow | undefined> {
    return this.#users.get(id);
  }

  /** The workspace of an agent, which may be deleted. */
  workspaceOf(agentId: string): Promise<WorkspaceRow | undefined> {
    return this.#workspaces.get(agentId);
  }

  agentOfToken(hash: string): Promise<OwnedAgent | undefined> {
    return this.#agents.get(hash);
  }

  /** The stored parts of an agent's manifest. */
  manifest(agentId: string): Promise<StoredManifest | undefined> {
    return this.#manifests.get(agentId);
  }
}

function gathered<Answer>(ask: (keys: readonly string[]) => Promise<ReadonlyMap<string, Answer>>): Gathered<Answer> {
  return new Gathered({ ask, refusal: databaseBusy });
}
