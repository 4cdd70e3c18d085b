/** Converts values from PostgreSQL, so that queries return what SQLite returns. */
import pg from "pg";

const INT8 = 20;
const NUMERIC = 1700;

const TEXT_PARSERS: ReadonlyMap<number, (text: string) => number> = new Map([
  [INT8, exactNumber],
  [NUMERIC, exactNumber],
]);

/** The option `types` of a client: 64-bit integers and sums become numbers instead of text. */
export const valueTypes: pg.CustomTypesConfig = {
  getTypeParser: ((id: number, format: "text" | "binary" = "text") =>
    (format === "text" ? TEXT_PARSERS.get(id) : undefined) ??
    pg.types.getTypeParser(id, format)) as pg.CustomTypesConfig["getTypeParser"],
};

/** Throws RangeError rather than return a number that differs from the stored one. */
function exactNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new RangeError(`the database holds ${text}, which is beyond the integers of this program`);
  }
  return value;
}
