/** The stored parts of an agent's manifest. Each connection of an agent asks for them, so they are read with one statement. */
import type { Kysely } from "kysely";
import { jsonArrayFrom as postgresList } from "kysely/helpers/postgres";
import { jsonArrayFrom as sqliteList } from "kysely/helpers/sqlite";
import type { AppPlaceNames } from "../base/app-name.ts";
import { byCodePoint, isOneOf, isPostgres } from "./dialect.ts";
import type { AgentMetadataRow, AgentScriptRow, AppRow, Database } from "./schema.ts";

const SCRIPT = [
  "id",
  "log_source_id",
  "log_path",
  "script",
  "cron",
  "run_on_start",
  "run_on_stop",
  "start_blocks_login",
  "timeout_seconds",
  "display_name",
] as const satisfies readonly (keyof AgentScriptRow)[];
const METADATA = [
  "display_name",
  "key",
  "script",
  "interval_seconds",
  "timeout_seconds",
] as const satisfies readonly (keyof AgentMetadataRow)[];
const APP = [
  "id",
  "url",
  "external",
  "slug",
  "display_name",
  "command",
  "icon",
  "subdomain",
  "level",
  "health_url",
  "health_interval_seconds",
  "health_threshold",
  "health",
  "hidden",
] as const satisfies readonly (keyof AppRow)[];

export type ManifestScript = Pick<AgentScriptRow, (typeof SCRIPT)[number]>;
export type ManifestMetadata = Pick<AgentMetadataRow, (typeof METADATA)[number]>;
export type ManifestApp = Pick<AppRow, (typeof APP)[number]>;

/** The lists are in the order in which they were given. */
export interface StoredManifest {
  /** Undefined if there is no such agent. */
  readonly place: AppPlaceNames | undefined;
  readonly scripts: readonly ManifestScript[];
  readonly metadata: readonly ManifestMetadata[];
  readonly apps: readonly ManifestApp[];
}

export const NO_MANIFEST: StoredManifest = { place: undefined, scripts: [], metadata: [], apps: [] };

/** By the agent's id. */
export async function storedManifests(
  db: Kysely<Database>,
  agentIds: readonly string[],
): Promise<ReadonlyMap<string, StoredManifest>> {
  const list = isPostgres(db) ? postgresList : sqliteList;
  const rows = await db
    .selectFrom("agents")
    .innerJoin("workspaces", "workspaces.id", "agents.workspace_id")
    .innerJoin("users", "users.id", "workspaces.owner_id")
    .select(["agents.id", "agents.name", "agents.app_alias", "workspaces.name as workspace", "users.username"])
    .select((query) =>
      list(
        query
          .selectFrom("agent_scripts")
          .select(SCRIPT)
          .whereRef("agent_scripts.agent_id", "=", "agents.id")
          .orderBy("position"),
      ).as("scripts"),
    )
    .select((query) =>
      list(
        query
          .selectFrom("agent_metadata")
          .select(METADATA)
          .whereRef("agent_metadata.agent_id", "=", "agents.id")
          .orderBy("position"),
      ).as("metadata"),
    )
    .select((query) =>
      list(
        query
          .selectFrom("apps")
          .select(APP)
          .whereRef("apps.agent_id", "=", "agents.id")
          .orderBy("position")
          .orderBy(byCodePoint(db, "slug")),
      ).as("apps"),
    )
    .where(isOneOf(db, "agents.id", agentIds))
    .execute();
  return new Map(
    rows.map((row) => {
      const place = { agent: row.name, workspace: row.workspace, owner: row.username, alias: row.app_alias };
      const [scripts, metadata, apps] = [parsed(row.scripts), parsed(row.metadata), parsed(row.apps)];
      return [row.id, { place, scripts, metadata, apps }];
    }),
  );
}

/** SQLite returns a list as JSON text. */
function parsed<Row>(list: readonly Row[] | string): readonly Row[] {
  return typeof list === "string" ? JSON.parse(list) : list;
}
