/** Exit codes of the command. A remote command's own code is passed through as it is. */
export const EXIT = { ok: 0, failure: 1, usage: 2, bug: 70, cancelled: 130, connectionLost: 255 } as const;

/** Something a person must act on. Rendered once, without a stack. */
export class UserError extends Error {
  override readonly name = "UserError";
  /** Why it failed: the state found, the state wanted. */
  readonly why: string | undefined;
  /** What to do next, each one line. */
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

/** The person stopped it (Ctrl-C): exit 130, nothing printed but what cleanup says. */
export class CancelledError extends Error {
  override readonly name = "CancelledError";
}
