import type { Kysely } from "kysely";
import type { ConnectionReportRow, Database } from "./schema.ts";

/** Reports kept per agent; the oldest go first. */
export const MAX_CONNECTION_REPORTS = 1000;

export class ConnectionReports {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Call inside a transaction. */
  async append(report: Omit<ConnectionReportRow, "id">): Promise<void> {
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
