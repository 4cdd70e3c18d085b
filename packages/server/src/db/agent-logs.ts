import { type Kysely, sql } from "kysely";
import { type AgentFacts, setsOf } from "./agent-reports.ts";
import { inList, lockOnly, lockRow } from "./dialect.ts";
import type { AgentLogRow, AgentLogSourceRow, Database } from "./schema.ts";

/** Bytes of log text kept per agent. Later lines are dropped and the agent is asked to stop; the limit is Coder's. */
export const MAX_AGENT_LOG_BYTES = 1 << 20;
/** Lines kept per agent: without text they would cost nothing of the limit above, and each is a row of the database. */
export const MAX_AGENT_LOG_LINES = 1 << 17;
/** Log sources kept per agent. */
export const MAX_LOG_SOURCES = 64;

export interface NewAgentLog {
  readonly sourceId: string;
  readonly level: string;
  readonly output: string;
  readonly createdAt: number;
}

export class AgentLogs {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /**
   * Appends as many lines as fit. Call inside a transaction.
   * @returns the stored rows, and whether the limit is reached.
   */
  async append(
    agentId: string,
    logs: readonly NewAgentLog[],
    maxLines = MAX_AGENT_LOG_LINES,
  ): Promise<{ stored: AgentLogRow[]; overflowed: boolean }> {
    const counters = this.#db
      .selectFrom("agents")
      .select(["logs_length", "logs_overflowed", "last_log_id"])
      .where("id", "=", agentId);
    const agent = await lockRow(this.#db, counters).executeTakeFirst();
    if (agent === undefined) return { stored: [], overflowed: false };
    const last = await this.#db
      .selectFrom("agent_logs")
      .select("id")
      .where("agent_id", "=", agentId)
      .orderBy("id", "desc")
      .limit(1)
      .executeTakeFirst();
    let id = Math.max(last?.id ?? 0, agent.last_log_id);
    let length = agent.logs_length;
    let overflowed = agent.logs_overflowed === 1;
    let room = maxLines;
    // Ids are counted through all runs, hence most agents need no count of their rows.
    if (id + logs.length > room) room -= await this.#lines(agentId);
    const stored: AgentLogRow[] = [];
    for (const log of logs) {
      // After the first dropped line all later ones are dropped too, because a short line behind the gap would hide it.
      const isFull = stored.length >= room || length + Buffer.byteLength(log.output) > MAX_AGENT_LOG_BYTES;
      if (overflowed || isFull) {
        overflowed = true;
        break;
      }
      length += Buffer.byteLength(log.output);
      id += 1;
      stored.push({
        agent_id: agentId,
        id,
        source_id: log.sourceId,
        level: log.level,
        output: log.output,
        created_at: log.createdAt,
      });
    }
    for (let start = 0; start < stored.length; start += 100) {
      await this.#db
        .insertInto("agent_logs")
        .values(stored.slice(start, start + 100))
        .execute();
    }
    await this.#db
      .updateTable("agents")
      .set({ logs_length: length, logs_overflowed: overflowed ? 1 : 0, last_log_id: id })
      .where("id", "=", agentId)
      .execute();
    return { stored, overflowed };
  }

  /**
   * Starts a new run of the agent: removes the lines from before `startedAt` (both by the agent's clock), so that every run has
   * the whole limit, and stores `facts` in the agent's row. Call inside a transaction.
   * @returns the agent's workspace; undefined if there is no such agent.
   */
  async beginRun(agentId: string, startedAt: number, facts: AgentFacts): Promise<string | undefined> {
    const agent = this.#db.selectFrom("agents").select("id").where("id", "=", agentId);
    const gone = await this.#db
      .with("locked", () => lockRow(this.#db, agent))
      .deleteFrom("agent_logs")
      .where("agent_id", "in", (query) => query.selectFrom("locked").select("locked.id"))
      .where("created_at", "<", startedAt)
      .returning((query) => query.fn<number>("octet_length", ["output"]).as("bytes"))
      .execute();
    const forgotten = gone.reduce((sum, { bytes }) => sum + bytes, 0);
    const row = await this.#db
      .updateTable("agents")
      .set({ ...setsOf(facts), logs_length: sql<number>`logs_length - ${forgotten}`, logs_overflowed: 0 })
      .where("id", "=", agentId)
      .returning("workspace_id")
      .executeTakeFirst();
    return row?.workspace_id;
  }

  /** Oldest first, with ids above `after`. */
  async list(agentId: string, filter: { after: number; limit: number }): Promise<AgentLogRow[]> {
    return await this.#db
      .selectFrom("agent_logs")
      .selectAll()
      .where("agent_id", "=", agentId)
      .where("id", ">", filter.after)
      .orderBy("id")
      .limit(filter.limit)
      .execute();
  }

  /** Returns false if the agent has too many sources. A source with a known id changes nothing. Call inside a transaction. */
  async addSource(source: AgentLogSourceRow): Promise<boolean> {
    await this.#lock(source.agent_id);
    const known = await this.sources(source.agent_id);
    if (known.some((row) => row.id === source.id)) return true;
    if (known.length >= MAX_LOG_SOURCES) return false;
    await this.#db.insertInto("agent_log_sources").values(source).execute();
    return true;
  }

  /** The sources of several agents, for each agent in the order in which they were added. */
  async sourcesOf(agentIds: readonly string[]): Promise<AgentLogSourceRow[]> {
    return await this.#db
      .selectFrom("agent_log_sources")
      .selectAll()
      .where("agent_id", "in", inList(this.#db, agentIds))
      .orderBy("created_at")
      .orderBy("id")
      .execute();
  }

  async sources(agentId: string): Promise<AgentLogSourceRow[]> {
    return await this.#db
      .selectFrom("agent_log_sources")
      .selectAll()
      .where("agent_id", "=", agentId)
      .orderBy("created_at")
      .orderBy("id")
      .execute();
  }

  async #lines(agentId: string): Promise<number> {
    const { lines } = await this.#db
      .selectFrom("agent_logs")
      .select((query) => query.fn.countAll<number | bigint>().as("lines"))
      .where("agent_id", "=", agentId)
      .executeTakeFirstOrThrow();
    return Number(lines);
  }

  async #lock(agentId: string): Promise<void> {
    await lockOnly(this.#db, this.#db.selectFrom("agents").select("id").where("id", "=", agentId));
  }
}
