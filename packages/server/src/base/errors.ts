/** The closed set of reasons why the server does not start, or stops without being asked to. */
export type ServerErrorCode =
  | "ERR_CONFIG"
  | "ERR_PORT_IN_USE"
  | "ERR_LISTEN"
  | "ERR_BACKUP"
  | "ERR_STATE_DIR"
  | "ERR_STATE_DIR_IN_USE"
  | "ERR_KEY_FILE"
  | "ERR_STORE_DAMAGED"
  | "ERR_STORE_TOO_NEW"
  | "ERR_STORE_UNREACHABLE"
  | "ERR_STORE_VERSION"
  | "ERR_STORE_ENCODING"
  | "ERR_CLUSTER_PROTOCOL"
  | "ERR_TLS_CERTIFICATE"
  | "ERR_PRIMARY_IS_PROXY"
  | "ERR_PROXY_TOKEN";

/** A problem that a person has to solve. Rendered once, as a sentence, a reason and next steps, never as a stack. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  readonly code: ServerErrorCode;
  /** What failed, with values quoted and no final stop. */
  readonly title: string;
  /** The state that was found and the one that is required; may be empty. */
  readonly why: string;
  readonly nextSteps: readonly string[];

  constructor(
    code: ServerErrorCode,
    title: string,
    options: { why?: string; nextSteps?: readonly string[]; cause?: unknown } = {},
  ) {
    super(title, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.title = title;
    this.why = options.why ?? "";
    this.nextSteps = options.nextSteps ?? [];
  }
}

/** Text form for a terminal. */
export function presentServerError(error: ServerError): string {
  const lines = [error.why === "" ? error.title : `${error.title}: ${error.why}`];
  for (const step of error.nextSteps) lines.push(`  Try: ${step}`);
  return `${lines.join("\n")}\n  (${error.code})`;
}

/** SQLite's result code for a full disk (SQLITE_FULL). */
const SQLITE_FULL = 13;

/** Whether an error of the operating system or of SQLite means that the disk is full. */
export function isDiskFull(error: unknown): boolean {
  const code = nodeErrorCode(error);
  if (code === "ENOSPC" || code === "EDQUOT") return true;
  return typeof error === "object" && error !== null && "errcode" in error && error.errcode === SQLITE_FULL;
}

export function nodeErrorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
