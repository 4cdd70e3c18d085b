/**
 * Gives names to statements that are sent often. Each connection prepares such a statement once, because planning a statement costs
 * PostgreSQL more than running one that reads a few rows.
 */
import { failureCode } from "./failures.ts";

/** A statement gets a name when it is sent this often. */
const MIN_USES = 5;
/** Each prepared statement takes about 10 KiB of memory for every connection. */
const MAX_NAMES = 128;
/** Statements without a name whose uses are counted. Beyond it the counts are dropped. */
const MAX_COUNTED = 1_024;
const MAY_HAVE_NAME = /^(select|insert|update|delete|with)\b/i;

/** A column was added to a table of which the statement reads all columns. PostgreSQL reports it before it runs the statement. */
const PLAN_IS_OLD = "0A000";
const PLAN_IS_OLD_TEXT = /^cached plan must not change result type/;
/** The session does not have the name, or has another statement under it: something changes the session of the connection. */
const OTHER_SESSION: ReadonlySet<string> = new Set(["26000", "42P05"]);

export class StatementNames {
  readonly #uses = new Map<string, number>();
  readonly #names = new Map<string, string>();
  #given = 0;
  #isOff = false;

  /** Counts a use of the statement. Returns undefined if it is to be sent without a name. */
  nameOf(text: string): string | undefined {
    if (this.#isOff) return undefined;
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size === MAX_NAMES || !MAY_HAVE_NAME.test(text)) return undefined;
    const uses = (this.#uses.get(text) ?? 0) + 1;
    if (uses < MIN_USES) {
      if (this.#uses.size === MAX_COUNTED) this.#uses.clear();
      this.#uses.set(text, uses);
      return undefined;
    }
    this.#uses.delete(text);
    const name = `s${++this.#given}`;
    this.#names.set(text, name);
    return name;
  }

  /** Returns whether the statement failed because of its name, before it ran. The name is not used again. */
  failed(text: string, error: unknown): boolean {
    if (!isOfPreparedStatement(error)) return false;
    if (OTHER_SESSION.has(failureCode(error) ?? "")) this.#isOff = true;
    this.#names.delete(text);
    return true;
  }
}

/** Whether a prepared statement could not be used. Without its name the statement can run. */
export function isOfPreparedStatement(error: unknown): boolean {
  const code = failureCode(error);
  if (code === undefined) return false;
  return OTHER_SESSION.has(code) || (code === PLAN_IS_OLD && PLAN_IS_OLD_TEXT.test((error as Error).message));
}
