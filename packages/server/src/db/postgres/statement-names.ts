/**
 * Names for statements that come again and again, under which each connection prepares them once: to plan a statement costs
 * PostgreSQL more than to run one that reads a few rows.
 */
import { failureCode } from "./failures.ts";

/** A statement that came less often is not worth a place. */
const WORTH_USES = 5;
/** Each takes some ten KiB in every connection. */
const MAX_NAMES = 128;
/** Texts whose uses are counted; most are the same few. */
const MAX_COUNTED = 1_024;
const MAY_HAVE_NAME = /^(select|insert|update|delete|with)\b/i;

/** A column was added to a table of which the statement reads all: raised before anything is run. */
const PLAN_IS_OLD = "0A000";
const PLAN_IS_OLD_TEXT = /^cached plan must not change result type/;
/** The session knows no such name, or has another statement under it: it is another session after all. */
const OTHER_SESSION: ReadonlySet<string> = new Set(["26000", "42P05"]);

export class StatementNames {
  readonly #uses = new Map<string, number>();
  readonly #names = new Map<string, string>();
  #given = 0;
  #isOff = false;

  /** Counts a use. Undefined: it is sent without a name. */
  nameOf(text: string): string | undefined {
    if (this.#isOff) return undefined;
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size === MAX_NAMES || !MAY_HAVE_NAME.test(text)) return undefined;
    const uses = (this.#uses.get(text) ?? 0) + 1;
    if (uses < WORTH_USES) {
      if (this.#uses.size === MAX_COUNTED) this.#uses.clear();
      this.#uses.set(text, uses);
      return undefined;
    }
    this.#uses.delete(text);
    const name = `s${++this.#given}`;
    this.#names.set(text, name);
    return name;
  }

  /** Whether it failed for its name alone, before anything of it was run. Its name is not used again. */
  failed(text: string, error: unknown): boolean {
    if (!isOfPreparedStatement(error)) return false;
    if (OTHER_SESSION.has(failureCode(error) ?? "")) this.#isOff = true;
    this.#names.delete(text);
    return true;
  }
}

/** Whether what was prepared cannot be used: without it the statement runs. */
export function isOfPreparedStatement(error: unknown): boolean {
  const code = failureCode(error);
  if (code === undefined) return false;
  return OTHER_SESSION.has(code) || (code === PLAN_IS_OLD && PLAN_IS_OLD_TEXT.test((error as Error).message));
}
