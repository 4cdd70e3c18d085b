import type { ErrorBody } from "coder-protocol/rest/common";

/** Why a part of the server refuses a request. The set is closed; http/failure.ts gives each code its status. */
export type DomainErrorCode =
  /** The request contradicts itself or names something that cannot exist. */
  | "invalid"
  /** No credentials, or none that are valid. */
  | "unauthenticated"
  /** Valid credentials that do not allow this. */
  | "forbidden"
  /** It does not exist, or the caller may not see it. */
  | "not-found"
  /** The name is in use. */
  | "taken"
  /** One more would exceed the number that a user may have. */
  | "limit-reached"
  /** Only browsers may connect to the workspace. */
  | "browser-only"
  /** Another agent is connected with the same token, or the proxy answers at another address. */
  | "contested"
  /** The user still has workspaces. */
  | "has-workspaces"
  /** The workspace was deleted. */
  | "deleted"
  /** The caller has too many open, or tries too often. */
  | "too-many"
  /** The server has too many open in total. */
  | "busy"
  /** The server is shutting down. */
  | "closing"
  /** The database does not answer. */
  | "unavailable";

export interface DomainErrorOptions {
  readonly detail?: string;
  readonly validations?: ErrorBody["validations"];
  /** When to try again. */
  readonly retryAfterSeconds?: number;
}

/**
 * A refusal by a part that knows nothing of HTTP. Services throw it; the authenticator returns it. Its text reaches the client,
 * so it never contains a secret, a path of this machine or SQL.
 */
export class DomainError extends Error {
  override readonly name = "DomainError";
  readonly code: DomainErrorCode;
  readonly detail: string | undefined;
  readonly validations: ErrorBody["validations"];
  readonly retryAfterSeconds: number | undefined;

  constructor(code: DomainErrorCode, message: string, options: DomainErrorOptions = {}) {
    super(message);
    this.code = code;
    this.detail = options.detail;
    this.validations = options.validations;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** The same text for everything that does not exist and everything that the caller may not see. */
export function notFound(): DomainError {
  return new DomainError("not-found", "Resource not found or you do not have access to this resource");
}

/** Refuses a connection that another server will take as soon as the client retries. */
export function elsewhere(why: string): DomainError {
  return new DomainError("closing", `This server takes no new connections: ${why}.`, { retryAfterSeconds: 1 });
}

/** Refuses a connection that would only be ended again. */
export function shuttingDown(): DomainError {
  return new DomainError("closing", "The server is shutting down", { retryAfterSeconds: 10 });
}
