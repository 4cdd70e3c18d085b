import type { ErrorBody } from "coder-protocol/rest/common";
import { DomainError, type DomainErrorCode } from "../base/domain-error.ts";

/** The status for each refusal of the other parts. */
const STATUS_OF: Readonly<Record<DomainErrorCode, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  "not-found": 404,
  taken: 409,
  "limit-reached": 409,
  "browser-only": 409,
  contested: 409,
  deleted: 410,
  "has-workspaces": 417,
  "too-many": 429,
  busy: 503,
  closing: 503,
  unavailable: 503,
};

/**
 * An answer outside 2xx. Its text reaches the client, so it never contains a secret, a path of this machine or SQL. Routes throw
 * it for reasons that concern only HTTP; refusals of the parts below are converted by {@link failureOf}.
 */
export class HttpFailure extends Error {
  override readonly name = "HttpFailure";
  readonly status: number;
  readonly body: ErrorBody;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    message: string,
    options: {
      detail?: string | undefined;
      validations?: ErrorBody["validations"];
      headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(message);
    this.status = status;
    this.headers = options.headers ?? {};
    this.body = {
      message,
      detail: options.detail,
      validations: options.validations,
    };
  }
}

/** The answer for a refusal; undefined for any other error, which is a bug. */
export function failureOf(error: unknown): HttpFailure | undefined {
  if (error instanceof HttpFailure) return error;
  if (!(error instanceof DomainError)) return undefined;
  return new HttpFailure(STATUS_OF[error.code], error.message, {
    detail: error.detail,
    validations: error.validations,
    headers: error.retryAfterSeconds === undefined ? {} : { "Retry-After": String(error.retryAfterSeconds) },
  });
}
