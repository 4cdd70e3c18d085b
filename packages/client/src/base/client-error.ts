/** What can go wrong between a program and a deployment. Match on `code`. */
export type ClientErrorCode =
  | "ERR_NOT_LOGGED_IN"
  | "ERR_UNAUTHORIZED"
  | "ERR_FORBIDDEN"
  | "ERR_NOT_FOUND"
  | "ERR_CONFLICT"
  | "ERR_RATE_LIMITED"
  | "ERR_BAD_REQUEST"
  | "ERR_SERVER"
  /** Something else answered: `retryable` when it stands between here and the deployment, or took its place for a while. */
  | "ERR_NOT_A_CODER_SERVER"
  | "ERR_UPGRADE_STRIPPED"
  | "ERR_VERSION_MISMATCH"
  | "ERR_RESUME_TOKEN"
  | "ERR_WORKSPACE_STOPPED"
  | "ERR_WORKSPACE_NOT_STARTED"
  /** The agent is connected and shutting down. */
  | "ERR_AGENT_OFF"
  | "ERR_AGENT_UNREACHABLE"
  /** A connection that was made may not go on: the login, the right or the workspace is gone. */
  | "ERR_ACCESS_ENDED"
  /** The deployment leaves connections to this workspace to web browsers. */
  | "ERR_BROWSER_ONLY"
  | "ERR_NO_RELAY"
  | "ERR_UNKNOWN_RELAY"
  | "ERR_BAD_CONFIGURATION";

/** A deployment refused or could not answer. `status` is the HTTP status when there was one. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: ClientErrorCode;
  readonly status: number | undefined;
  readonly detail: string | undefined;
  readonly validations: readonly { readonly field: string; readonly detail: string }[];
  readonly retryable: boolean;
  /** How long the answer asks us to wait before the next request. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ClientErrorCode,
    message: string,
    options: {
      status?: number | undefined;
      detail?: string | undefined;
      validations?: readonly { readonly field: string; readonly detail: string }[];
      retryable?: boolean;
      retryAfterMs?: number | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status;
    this.detail = options.detail;
    this.validations = options.validations ?? [];
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
  }
}
