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
  /** Something else answered. `retryable` when it stands between here and the deployment, or replaces it for a while. */
  | "ERR_NOT_A_CODER_SERVER"
  | "ERR_UPGRADE_STRIPPED"
  | "ERR_VERSION_MISMATCH"
  | "ERR_RESUME_TOKEN"
  | "ERR_WORKSPACE_STOPPED"
  | "ERR_WORKSPACE_NOT_STARTED"
  /** The agent is connected and shutting down. */
  | "ERR_AGENT_OFF"
  | "ERR_AGENT_UNREACHABLE"
  /** An established connection has to end: the login, the permission or the workspace is gone. */
  | "ERR_ACCESS_ENDED"
  /** The deployment permits only web browsers to connect to this workspace. */
  | "ERR_BROWSER_ONLY"
  | "ERR_NO_RELAY"
  | "ERR_UNKNOWN_RELAY"
  | "ERR_BAD_CONFIGURATION";

/** A deployment refused a request or could not answer it. `status` is the HTTP status, if there was one. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: ClientErrorCode;
  readonly status: number | undefined;
  readonly detail: string | undefined;
  readonly validations: readonly { readonly field: string; readonly detail: string }[];
  readonly retryable: boolean;
  /** How long the response asks us to wait before the next request. */
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
