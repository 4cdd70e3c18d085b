/**
 * What agents report about themselves. One statement stores the reports of many agents, because after a power cut thousands of
 * them report at the same time. A result has the workspace of each agent whose row was written, by the agent's id.
 */
import { type Kysely, type SqlBool, sql, type UpdateObject } from "kysely";
import { byCodePoint, givenRows, lockedInOrder } from "./dialect.ts";
import type { AgentRow, AgentsTable, Database } from "./schema.ts";
import { workspaceRuns } from "./workspace-runs.ts";

type Workspaces = Promise<ReadonlyMap<string, string>>;

export interface AgentConnection {
  /** The agent. */
  readonly id: string;
  /** The connection; it sorts after those of the agent's earlier connections if it was made by `connectionId`. */
  readonly connection: string;
  readonly version: string;
  readonly at: number;
  /** Stores the connection only if the agent has the token of that generation and may be connected. Null: in any case. */
  readonly generation: number | null;
}

export interface AgentDisconnection {
  readonly id: string;
  readonly connection: string;
  readonly at: number;
}

type Fact =
  | "expanded_directory"
  | "lifecycle_state"
  | "ready_at"
  | "started_at"
  | "subsystems"
  | "updated_at"
  | "version";

/** Values of columns, or values for columns that have none. */
export type AgentFacts = { readonly [column in Fact]?: AgentsTable[column] | UnlessSet };

/** The value that the agent's row has; `unlessSet` if it has none. */
export interface UnlessSet {
  readonly unlessSet: number;
}

export interface AgentReport {
  readonly id: string;
  readonly facts: AgentFacts;
}

/** The values that a row must have to be written. */
export type OnlyAgents = Partial<Pick<AgentRow, "lifecycle_state" | "logs_length" | "last_log_id">>;

const TEXTS: ReadonlySet<string> = new Set(["id", "expanded_directory", "lifecycle_state", "subsystems", "version"]);

export class AgentReports {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /**
   * Stores that connections of agents began. Does not write to an agent that may not be connected, or for which a connection that
   * began later is stored, perhaps by another server.
   */
  async connected(connections: readonly AgentConnection[]): Workspaces {
    const types = { id: "text", connection: "text", version: "text", at: "bigint", generation: "bigint" } as const;
    const { query, isLocked } = lockedInOrder(this.#db, "agents", idsOf(connections));
    const stored = byCodePoint(this.#db, "agents.connection_id");
    const rows = await query
      .updateTable("agents")
      .from(givenRows<AgentConnection>(this.#db, connections, types).as("given"))
      .set({
        first_connected_at: sql`coalesce(agents.first_connected_at, given.at)`,
        last_connected_at: sql`given.at`,
        disconnected_at: null,
        connection_id: sql`given.connection`,
        api_version: sql`given.version`,
        updated_at: sql`given.at`,
      })
      .whereRef("agents.id", "=", "given.id")
      .where(isLocked)
      .where((where) =>
        where.or([
          where("given.generation", "is", null),
          where.and([where("agents.token_generation", "=", where.ref("given.generation")), workspaceRuns(where)]),
        ]),
      )
      // Ids of earlier releases are random; the others have a 7 here, and sort by time.
      .where(
        sql<SqlBool>`(substr(agents.connection_id, 15, 1) <> '7' or substr(given.connection, 15, 1) <> '7'
          or ${stored} <= given.connection)`,
      )
      .returning(["agents.id", "agents.workspace_id"])
      .execute();
    return workspacesOf(rows);
  }

  /** Stores that connections are over. Does not write to an agent for which another connection is stored. */
  async disconnected(connections: readonly AgentDisconnection[]): Workspaces {
    const types = { id: "text", connection: "text", at: "bigint" } as const;
    const { query, isLocked } = lockedInOrder(this.#db, "agents", idsOf(connections));
    const rows = await query
      .updateTable("agents")
      .from(givenRows<AgentDisconnection>(this.#db, connections, types).as("given"))
      .set({ disconnected_at: sql`given.at`, updated_at: sql`given.at` })
      .whereRef("agents.id", "=", "given.id")
      .where(isLocked)
      .whereRef("agents.connection_id", "=", "given.connection")
      .where("agents.first_connected_at", "is not", null) // else it is of before the build
      .returning(["agents.id", "agents.workspace_id"])
      .execute();
    return workspacesOf(rows);
  }

  /** Stores facts about agents. All reports are about the same columns, see `shapeOf`. */
  async facts(reports: readonly AgentReport[], only: OnlyAgents = {}): Workspaces {
    const columns = Object.keys(reports[0]?.facts ?? {}) as Fact[];
    if (columns.length === 0) return new Map();
    const types = Object.fromEntries(["id", ...columns].map((name) => [name, TEXTS.has(name) ? "text" : "bigint"]));
    const given = reports.map(({ id, facts }) => ({ id, ...valuesOf(facts) }));
    const { query, isLocked } = lockedInOrder(this.#db, "agents", idsOf(reports));
    const sets = columns.map((column) => {
      const value = sql`${sql.ref(`given.${column}`)}`;
      const isDefault = isUnlessSet(reports[0]!.facts[column]);
      return [column, isDefault ? sql`coalesce(${sql.ref(`agents.${column}`)}, ${value})` : value];
    });
    const conditions = Object.entries(only).map(
      ([column, value]) => sql<SqlBool>`${sql.ref(`agents.${column}`)} = ${value}`,
    );
    const rows = await query
      .updateTable("agents")
      .from(givenRows<{ id: string }>(this.#db, given, types as { readonly id: "text" }).as("given"))
      .set(Object.fromEntries(sets))
      .whereRef("agents.id", "=", "given.id")
      .where(isLocked)
      .where((where) => where.and(conditions))
      .returning(["agents.id", "agents.workspace_id"])
      .execute();
    return workspacesOf(rows);
  }
}

/** Equal for facts that one statement can store. */
export function shapeOf(facts: AgentFacts): string {
  return Object.entries(facts)
    .map(([column, value]) => (isUnlessSet(value) ? `${column}?` : column))
    .join(" ");
}

/** The same facts for the update of one row. */
export function setsOf(facts: AgentFacts): UpdateObject<Database, "agents"> {
  const sets = Object.entries(facts).map(([column, value]) => {
    const isDefault = isUnlessSet(value);
    return [column, isDefault ? sql`coalesce(${sql.ref(column)}, ${value.unlessSet})` : value];
  });
  return Object.fromEntries(sets);
}

function isUnlessSet(value: unknown): value is UnlessSet {
  return typeof value === "object" && value !== null;
}

function valuesOf(facts: AgentFacts): Record<string, string | number | null> {
  const values = Object.entries(facts).map(([column, value]) => [column, isUnlessSet(value) ? value.unlessSet : value]);
  return Object.fromEntries(values);
}

function idsOf(items: readonly { readonly id: string }[]): string[] {
  return items.map(({ id }) => id);
}

function workspacesOf(rows: readonly Pick<AgentRow, "id" | "workspace_id">[]): ReadonlyMap<string, string> {
  return new Map(rows.map(({ id, workspace_id }) => [id, workspace_id]));
}
