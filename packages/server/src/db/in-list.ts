import { type RawBuilder, sql } from "kysely";

/**
 * For `where(column, "in", …)`: one of these texts. One parameter however many there are, so the statement keeps its text (prepared
 * statements are kept by it) and has no limit on their number.
 */
export function inList(texts: readonly string[]): RawBuilder<string> {
  return sql<string>`(select value from json_each(${JSON.stringify(texts)}))`;
}
