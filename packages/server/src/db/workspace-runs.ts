/** Whether a workspace runs, as a part of queries about agents. */
import type { Expression, ExpressionBuilder, SqlBool } from "kysely";
import type { Database } from "./schema.ts";

/** The transition of the latest build of the workspace in the query. */
export function latestTransition(query: ExpressionBuilder<Database, "workspaces">) {
  return query
    .selectFrom("workspace_builds")
    .select("transition")
    .whereRef("workspace_builds.workspace_id", "=", "workspaces.id")
    .orderBy("build_number", "desc")
    .limit(1);
}

/** Whether the workspace of the agent in the query runs, and its owner may use it. */
export function workspaceRuns(query: ExpressionBuilder<Database, "agents">): Expression<SqlBool> {
  return query.exists(
    query
      .selectFrom("workspaces")
      .innerJoin("users", "users.id", "workspaces.owner_id")
      .select("workspaces.id")
      .whereRef("workspaces.id", "=", "agents.workspace_id")
      .where("workspaces.deleted_at", "is", null)
      .where("users.deleted_at", "is", null)
      .where("users.status", "=", "active")
      .where((where) => where(latestTransition(where), "=", "start")),
  );
}
