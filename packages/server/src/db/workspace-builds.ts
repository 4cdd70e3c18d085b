import type { Kysely } from "kysely";
import { inList, lockOnly } from "./dialect.ts";
import type { Database, WorkspaceBuildRow } from "./schema.ts";

export class WorkspaceBuilds {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Call inside a transaction, because the build gets the next free number. */
  async append(build: Omit<WorkspaceBuildRow, "build_number">): Promise<WorkspaceBuildRow> {
    await lockOnly(this.#db, this.#db.selectFrom("workspaces").select("id").where("id", "=", build.workspace_id));
    const latest = await this.latest(build.workspace_id);
    const row = { ...build, build_number: (latest?.build_number ?? 0) + 1 };
    await this.#db.insertInto("workspace_builds").values(row).execute();
    return row;
  }

  async latest(workspaceId: string): Promise<WorkspaceBuildRow | undefined> {
    return await this.#db
      .selectFrom("workspace_builds")
      .selectAll()
      .where("workspace_id", "=", workspaceId)
      .orderBy("build_number", "desc")
      .limit(1)
      .executeTakeFirst();
  }

  /** The latest build of each workspace, by its id. */
  async latestOf(workspaceIds: readonly string[]): Promise<Map<string, WorkspaceBuildRow>> {
    const rows = await this.#db
      .with("latest", (db) =>
        db
          .selectFrom("workspace_builds")
          .select((build) => ["workspace_id", build.fn.max("build_number").as("build_number")])
          .where("workspace_id", "in", inList(this.#db, workspaceIds))
          .groupBy("workspace_id"),
      )
      .selectFrom("workspace_builds")
      .innerJoin("latest", (join) =>
        join
          .onRef("latest.workspace_id", "=", "workspace_builds.workspace_id")
          .onRef("latest.build_number", "=", "workspace_builds.build_number"),
      )
      .selectAll("workspace_builds")
      .execute();
    return new Map(rows.map((row) => [row.workspace_id, row]));
  }

  async byId(id: string): Promise<WorkspaceBuildRow | undefined> {
    return await this.#db.selectFrom("workspace_builds").selectAll().where("id", "=", id).executeTakeFirst();
  }

  async byNumber(workspaceId: string, number: number): Promise<WorkspaceBuildRow | undefined> {
    return await this.#db
      .selectFrom("workspace_builds")
      .selectAll()
      .where("workspace_id", "=", workspaceId)
      .where("build_number", "=", number)
      .executeTakeFirst();
  }

  /** Newest first. */
  async list(workspaceId: string, page: { limit: number; offset: number }): Promise<WorkspaceBuildRow[]> {
    return await this.#db
      .selectFrom("workspace_builds")
      .selectAll()
      .where("workspace_id", "=", workspaceId)
      .orderBy("build_number", "desc")
      .limit(page.limit)
      .offset(page.offset)
      .execute();
  }
}
