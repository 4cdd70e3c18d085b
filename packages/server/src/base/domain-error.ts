import type { ErrorBody } from "coder-protocol/rest/common";

/** Why a part of the server refuses a request. The closed set; http/failure.ts gives each its status. */
export type DomainErrorCode =
  /** The request contradicts itself or names something that cannot be. */
  | "invalid"
  /** No credentials, or none that are valid. */
  | "unauthenticated"
  /** Valid credentials that do not allow this. */
  | "forbidden"
  /** It does not exist, or the caller may not see it. */
  | "not-found"
  /** Another one has that name. */
  | "taken"
  /** One more would exceed what a user may keep. */
  | "limit-reached"
  /** Only browsers may connect there. */
  | "browser-only"
  /** Another agent is connected with the same token, or the proxy answers at another address. */
  | "contested"
  /** A user who still has workspaces. */
  | "has-workspaces"
  /** The workspace was deleted. */
  | "deleted"
  /** This caller has too many open, or tries too often. */
  | "too-many"
  /** The server as a whole has too many open. */
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
 * A refusal by a part that knows nothing of HTTP. Thrown by services, returned by the authenticator. Its text reaches the
 * client: it never holds a secret, a path of this machine or SQL.
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

/** One text for everything a caller may not see and everything that does not exist. */
export function notFound(): DomainError {
  return new DomainError("not-found", "Resource not found or you do not have access to this resource");
}

/** Another server takes the connection, as soon as the client asks again. */
export function elsewhere(why: string): DomainError {
  return new DomainError("closing", `This server takes no new connections: ${why}.`, { retryAfterSeconds: 1 });
}

/** Refuses what would only be cut off again. */
export function shuttingDown(): DomainError {
  return new DomainError("closing", "The server is shutting down", { retryAfterSeconds: 10 });
}
