import { DatabaseSync } from "node:sqlite";

export interface DatabaseFacts {
  readonly schemaVersion: number;
  readonly deploymentId: string;
  /** Identifies the key file that belongs to the database. */
  readonly keyFingerprint: string;
}

/**
 * Reads a copy of a database from end to end.
 * @returns facts about it, or one sentence that says what is wrong with it.
 */
export function checkDatabase(path: string): DatabaseFacts | string {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    const found = database.prepare("PRAGMA integrity_check").all();
    const verdict = found.map((row) => String(row["integrity_check"])).join("; ");
    if (verdict !== "ok") return `the database is damaged: ${verdict.slice(0, 200)}`;
    const setting = database.prepare("SELECT value FROM settings WHERE key = ?");
    const read = (name: string): string => String(setting.get(name)?.["value"] ?? "");
    const version = database.prepare("SELECT max(version) AS version FROM schema_migrations").get()?.["version"];
    return {
      schemaVersion: Number(version),
      deploymentId: read("deployment_id"),
      keyFingerprint: read("key_fingerprint"),
    };
  } catch (error) {
    return `it is not a database of coder server (${error instanceof Error ? error.message : String(error)})`;
  } finally {
    if (database?.isOpen === true) database.close();
  }
}
