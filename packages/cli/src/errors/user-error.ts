/** Exit codes of the command. A remote command's own code is passed through unchanged. */
export const EXIT = { ok: 0, failure: 1, usage: 2, bug: 70, cancelled: 130, connectionLost: 255 } as const;

/** A failure that the user must act on. Printed once, without a stack. */
export class UserError extends Error {
  override readonly name = "UserError";
  /** Why it failed: the state found and the state wanted. */
  readonly why: string | undefined;
  /** What to do next, one line each. */
  readonly next: readonly string[];
  readonly code: string;
  readonly exit: number;

  constructor(
    title: string,
    options: {
      why?: string | undefined;
      next?: readonly string[] | undefined;
      code?: string | undefined;
      exit?: number | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(title, options.cause === undefined ? undefined : { cause: options.cause });
    this.why = options.why;
    this.next = options.next ?? [];
    this.code = options.code ?? "ERR_FAILED";
    this.exit = options.exit ?? EXIT.failure;
  }
}

/** The user stopped the command (Ctrl-C): exit 130, and nothing is printed except what cleanup reports. */
export class CancelledError extends Error {
  override readonly name = "CancelledError";
}
