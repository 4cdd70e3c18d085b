/** What a failed response means, in the server's own words if it has any. */

import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import { ClientError, type ClientErrorCode } from "../base/client-error.ts";
import { foreignAnswer, type HttpAnswer, retryAfterMs, withoutTags } from "./answerer.ts";

const CODE_BY_STATUS: Readonly<Record<number, ClientErrorCode>> = {
  400: "ERR_BAD_REQUEST",
  401: "ERR_UNAUTHORIZED",
  403: "ERR_FORBIDDEN",
  404: "ERR_NOT_FOUND",
  409: "ERR_CONFLICT",
  429: "ERR_RATE_LIMITED",
};

/**
 * The error for a response that is not 2xx, in the server's own words if it has any. A response that is not the deployment's
 * becomes ERR_NOT_A_CODER_SERVER, without a status and retryable.
 */
export function failureOf(answer: HttpAnswer, what: string, host: string): ClientError {
  const foreign = foreignAnswer(answer, host);
  if (foreign !== undefined) return foreign;
  const body = answer.body;
  let message = `${what}: the server answered ${answer.status}`;
  let detail: string | undefined;
  let validations: { field: string; detail: string }[] = [];
  if (typeof body === "object" && body !== null) {
    const said = body as { message?: unknown; detail?: unknown; validations?: unknown };
    if (typeof said.message === "string" && said.message !== "") message = said.message;
    if (typeof said.detail === "string") detail = said.detail;
    if (Array.isArray(said.validations)) validations = said.validations.filter(isValidation);
  } else if (typeof body === "string") {
    detail = withoutTags(body).replace(/\s+/g, " ").trim().slice(0, 200);
  }
  const location = answer.headers["location"];
  if (answer.status >= 300 && answer.status < 400 && typeof location === "string")
    detail = `it redirects to ${location}`;
  const code =
    answer.status === 409 && message === NON_BROWSER_REFUSED
      ? "ERR_BROWSER_ONLY"
      : (CODE_BY_STATUS[answer.status] ?? (answer.status >= 500 ? "ERR_SERVER" : "ERR_BAD_REQUEST"));
  return new ClientError(code, message, {
    status: answer.status,
    detail,
    validations,
    retryable: answer.status >= 500,
    // A server that is closing states a maximum; another often takes over sooner, which redialling finds out.
    retryAfterMs: answer.status < 500 ? retryAfterMs(answer.headers) : undefined,
  });
}

function isValidation(value: unknown): value is { field: string; detail: string } {
  const item = value as { field?: unknown; detail?: unknown } | null;
  return typeof item?.field === "string" && typeof item.detail === "string";
}
