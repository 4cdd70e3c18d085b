/** Classifies errors of the driver and of PostgreSQL by what they mean for the work that failed. */
import { DomainError } from "../../base/domain-error.ts";

/**
 * - `lost`: the connection is gone or unusable.
 * - `read-only`: the connection works, but leads to a server that does not accept writes (a standby).
 * - `conflict`: the transaction conflicted with another one and may be repeated.
 * - `busy`: it waited too long for a connection, a lock or an answer.
 * - `refused`: the database rejects this user or database; retrying does not help.
 */
export type FailureKind = "lost" | "read-only" | "conflict" | "busy" | "refused";

const KIND_OF_STATE: ReadonlyMap<string, FailureKind> = new Map([
  ["57P01", "lost"], // admin_shutdown
  ["57P02", "lost"], // crash_shutdown
  ["57P03", "lost"], // cannot_connect_now
  ["25006", "read-only"], // read_only_sql_transaction
  ["40001", "conflict"], // serialization_failure
  ["40P01", "conflict"], // deadlock_detected
  ["53300", "busy"], // too_many_connections
  ["55P03", "busy"], // lock_not_available
  ["57014", "busy"], // query_canceled: statement_timeout
  ["28000", "refused"], // invalid_authorization_specification
  ["28P01", "refused"], // invalid_password
  ["3D000", "refused"], // invalid_catalog_name
]);

/** Error codes of the operating system while dialling or on an open connection. */
const LOST_CODES: readonly string[] = [
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENETDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
];
/** Messages of the driver, which gives these errors no code. */
const LOST_TEXTS =
  /^(Connection terminated|Query read timeout|Client has encountered a connection error|Client was closed|Cannot use a pool)/;
const WAITED_TEXT = "timeout exceeded when trying to connect";

/** Undefined for an error of the query itself. */
export function failureKind(error: unknown): FailureKind | undefined {
  if (error instanceof AggregateError) return failureKind(error.errors[0]);
  if (!(error instanceof Error)) return undefined;
  const code = failureCode(error) ?? "";
  const known = KIND_OF_STATE.get(code);
  if (known !== undefined) return known;
  // Class 08: connection exceptions.
  if (/^08\w{3}$/.test(code) || LOST_CODES.includes(code) || LOST_TEXTS.test(error.message)) return "lost";
  return error.message === WAITED_TEXT ? "busy" : undefined;
}

/** The code that PostgreSQL or the operating system gave to the error. */
export function failureCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** One line for a log, without addresses, user names or SQL. */
export function failureText(error: unknown): string {
  if (error instanceof AggregateError) return failureText(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  const code = failureCode(error);
  return code === undefined ? error.message : `${code}: ${error.message}`;
}

/** The refusal of a request that needed the database while it was away. */
export class DatabaseAway extends DomainError {
  /** The connection ended during a write, which may have been committed. */
  readonly outcomeUnknown: boolean;
  override readonly cause: unknown;

  constructor(cause: unknown, outcomeUnknown = false) {
    super("unavailable", "The database does not answer.", { retryAfterSeconds: 1 });
    this.cause = cause;
    this.outcomeUnknown = outcomeUnknown;
  }
}

/** The refusal of a request that waited too long for the database. */
export function databaseBusy(): DomainError {
  return new DomainError("busy", "The database is busy.", { retryAfterSeconds: 1 });
}
