import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import { z } from "zod";
import type { Logger } from "../base/log.ts";
import { type PendingAudit, pendingAuditKey } from "../db/pending-audit.ts";
import type { Audit } from "./audit.ts";

/** How often a running server reads the events that commands have recorded. */
const READ_EVERY_MS = 2_000;
const MAX_EVENTS_PER_READ = 100;

const storedEvent = z.object({
  action: z.enum(["password-reset", "state-restored"]),
  target: z.object({ id: z.string(), username: z.string() }).optional(),
  facts: z.record(z.string(), z.union([z.string(), z.number()])),
});

export type OfflineEvent = Omit<z.infer<typeof storedEvent>, "facts"> & {
  readonly facts?: Readonly<Record<string, string | number>>;
};

/** The stored form of what a command on the server's machine did, with the account that ran it. */
export function offlineEvent(event: OfflineEvent, atMs: number): { readonly key: string; readonly value: string } {
  const facts = { system_user: systemUser(), at: new Date(atMs).toISOString(), ...event.facts };
  return { key: pendingAuditKey(atMs, randomUUID()), value: JSON.stringify({ ...event, facts }) };
}

/** Writes to the server's audit what commands recorded while the server was running or stopped. */
export class OfflineAudit {
  readonly #options: { readonly pending: PendingAudit; readonly audit: Audit; readonly log: Logger };
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;

  constructor(options: { readonly pending: PendingAudit; readonly audit: Audit; readonly log: Logger }) {
    this.#options = options;
  }

  /** Reads now, and then periodically until it is closed. */
  start(): void {
    this.#readOnce();
    this.#timer = setInterval(() => this.#readOnce(), READ_EVERY_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#reading;
  }

  #readOnce(): void {
    this.#reading ??= this.#read()
      .catch((error: unknown) => this.#options.log.error({ err: error }, "reading the audit of commands failed"))
      .finally(() => {
        this.#reading = undefined;
      });
  }

  async #read(): Promise<void> {
    const { pending, audit, log } = this.#options;
    for (const { key, value } of await pending.list(MAX_EVENTS_PER_READ)) {
      const event = parse(value);
      if (event === undefined) log.warn({ key }, "an audit event of a command is not readable, and is dropped");
      else audit.record({ address: "local", ...event });
      // Written before it is removed: after a crash an event may be logged twice but is never lost.
      await pending.remove(key);
    }
  }
}

function parse(value: string): z.infer<typeof storedEvent> | undefined {
  try {
    const parsed = storedEvent.safeParse(JSON.parse(value));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "unknown"); // an account without an entry is known only by its number
  }
}
