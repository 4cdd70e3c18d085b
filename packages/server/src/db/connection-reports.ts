import type { Kysely } from "kysely";
import { lockOnly } from "./dialect.ts";
import type { ConnectionReportRow, Database } from "./schema.ts";

/** Names are in lower case. */
export interface ConnectionFilter {
  readonly workspace: string | undefined;
  readonly owner: string | undefined;
  readonly type: string | undefined;
  readonly action: ConnectionReportRow["action"] | undefined;
}

export interface ConnectionLogRow extends ConnectionReportRow {
  readonly agent_name: string;
  readonly workspace_id: string;
  readonly workspace_name: string;
  readonly owner_name: string;
}

/** Reports kept per agent; beyond that the oldest are removed. */
export const MAX_CONNECTION_REPORTS = 1000;

export class ConnectionReports {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Call inside a transaction. */
  async append(report: Omit<ConnectionReportRow, "id">): Promise<void> {
    await lockOnly(this.#db, this.#db.selectFrom("agents").select("id").where("id", "=", report.agent_id));
    const last = await this.#db
      .selectFrom("connection_reports")
      .select("id")
      .where("agent_id", "=", report.agent_id)
      .orderBy("id", "desc")
      .limit(1)
      .executeTakeFirst();
    const id = (last?.id ?? 0) + 1;
    await this.#db
      .insertInto("connection_reports")
      .values({ ...report, id })
      .execute();
    await this.#db
      .deleteFrom("connection_reports")
      .where("agent_id", "=", report.agent_id)
      .where("id", "<=", id - MAX_CONNECTION_REPORTS)
      .execute();
  }

  /** The reports of all agents, newest first, without those of deleted workspaces. */
  async search(filter: ConnectionFilter, page: { limit: number; offset: number }): Promise<ConnectionLogRow[]> {
    let query = this.#db
      .selectFrom("connection_reports")
      .innerJoin("agents", "agents.id", "connection_reports.agent_id")
      .innerJoin("workspaces", "workspaces.id", "agents.workspace_id")
      .innerJoin("users", "users.id", "workspaces.owner_id")
      .selectAll("connection_reports")
      .select([
        "agents.name as agent_name",
        "workspaces.id as workspace_id",
        "workspaces.name as workspace_name",
        "users.username as owner_name",
      ])
      .where("workspaces.deleted_at", "is", null);
    const { workspace, owner, type, action } = filter;
    if (workspace !== undefined)
      query = query.where("workspaces.name_key", "like", `%${workspace.replace(/[\\%_]/g, "")}%`);
    if (owner !== undefined) query = query.where("users.username_key", "=", owner);
    if (type !== undefined) query = query.where("connection_reports.type", "=", type);
    if (action !== undefined) query = query.where("connection_reports.action", "=", action);
    return await query
      .orderBy("connection_reports.reported_at", "desc")
      .orderBy("connection_reports.agent_id")
      .orderBy("connection_reports.id", "desc")
      .limit(page.limit)
      .offset(page.offset)
      .execute();
  }

  /** Newest first. */
  async list(agentId: string, limit: number): Promise<ConnectionReportRow[]> {
    return await this.#db
      .selectFrom("connection_reports")
      .selectAll()
      .where("agent_id", "=", agentId)
      .orderBy("id", "desc")
      .limit(limit)
      .execute();
  }
}
