import type { Kysely } from "kysely";
import { withoutNul } from "../base/text.ts";
import { inList } from "./dialect.ts";
import type { AgentMetadataRow, AgentScriptRow, Database } from "./schema.ts";

/** Maximum length in bytes of a metadata value and of its error. */
const MAX_VALUE_BYTES = 2048;

export type ScriptRun = Pick<
  AgentScriptRow,
  "last_started_at" | "last_ended_at" | "last_exit_code" | "last_stage" | "last_status"
>;

/** The scripts that an agent has to run, and its reports about the runs. */
export class AgentScripts {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(rows: readonly AgentScriptRow[]): Promise<void> {
    if (rows.length > 0) await this.#db.insertInto("agent_scripts").values(rows).execute();
  }

  /** The scripts of several agents, for each agent in the order in which they were given. */
  async listOf(agentIds: readonly string[]): Promise<AgentScriptRow[]> {
    return await this.#db
      .selectFrom("agent_scripts")
      .selectAll()
      .where("agent_id", "in", inList(this.#db, agentIds))
      .orderBy("position")
      .execute();
  }

  /** Returns the agent's workspace. Does nothing and returns undefined if the script belongs to another agent. */
  async completed(agentId: string, scriptId: string, run: ScriptRun): Promise<string | undefined> {
    const row = await this.#db
      .updateTable("agent_scripts")
      .set(run)
      .where("agent_id", "=", agentId)
      .where("id", "=", scriptId)
      .returning((query) =>
        query.selectFrom("agents").select("workspace_id").whereRef("agents.id", "=", "agent_id").as("workspace_id"),
      )
      .executeTakeFirst();
    return row?.workspace_id ?? undefined;
  }

  async insertMetadata(rows: readonly AgentMetadataRow[]): Promise<void> {
    if (rows.length > 0) await this.#db.insertInto("agent_metadata").values(rows).execute();
  }

  /** In the order in which they were given. */
  async metadata(agentId: string): Promise<AgentMetadataRow[]> {
    return await this.#db
      .selectFrom("agent_metadata")
      .selectAll()
      .where("agent_id", "=", agentId)
      .orderBy("position")
      .execute();
  }

  /** Keys without a description are ignored. */
  async setMetadata(
    agentId: string,
    result: Pick<AgentMetadataRow, "key" | "value" | "error" | "collected_at">,
  ): Promise<void> {
    await this.#db
      .updateTable("agent_metadata")
      .set({ value: cut(result.value), error: cut(result.error), collected_at: result.collected_at })
      .where("agent_id", "=", agentId)
      .where("key", "=", result.key)
      .execute();
  }
}

function cut(text: string): string {
  const bytes = Buffer.from(withoutNul(text));
  return bytes.length <= MAX_VALUE_BYTES
    ? bytes.toString("utf8")
    : new TextDecoder().decode(bytes.subarray(0, MAX_VALUE_BYTES), { stream: true });
}
