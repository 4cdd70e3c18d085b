import { type DrpcFailure, type DrpcFailureReason, LOCAL_CODE } from "./call.ts";

/** A failed call. A handler throws it to answer with its code and message. */
export class DrpcError extends Error {
  override readonly name = "DrpcError";
  /** As on the wire: 0 unless the server set one, 12 for "unimplemented". -1 for failures that no server reported. */
  readonly code: number;
  readonly reason: DrpcFailureReason;

  constructor(
    code: number,
    message: string,
    options: { readonly reason?: DrpcFailureReason; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reason = options.reason ?? (code === LOCAL_CODE ? "transport" : "remote");
  }
}

export function drpcError(failure: DrpcFailure): DrpcError {
  return new DrpcError(failure.code, failure.text, { reason: failure.reason });
}
