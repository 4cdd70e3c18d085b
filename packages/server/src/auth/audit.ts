import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { RateLimit } from "../base/rate-limit.ts";
import type { UserRow } from "../db/schema.ts";

/** The recorded actions, and the text of each in the log. */
const SENTENCES = {
  login: "logged in",
  "login-refused": "login refused",
  logout: "logged out",
  "session-created": "session created for another program",
  "password-changed": "password changed",
  "password-reset": "password reset by a command on the server's machine",
  "password-refused": "password not changed: the old one was wrong",
  "user-created": "user created",
  "user-renamed": "user renamed",
  "user-suspended": "user suspended",
  "user-activated": "user activated",
  "user-deleted": "user deleted",
  "roles-changed": "roles changed",
  "proxy-created": "workspace proxy created",
  "proxy-changed": "workspace proxy changed",
  "proxy-token-replaced": "token of a workspace proxy replaced",
  "proxy-deleted": "workspace proxy deleted",
  "connection-policy-changed": "connection policy changed",
  "token-created": "API token created",
  "state-restored": "state restored from a backup",
  "key-removed": "API token or session ended",
} as const;

export type AuditAction = keyof typeof SENTENCES;
export const AUDIT_ACTIONS = Object.keys(SENTENCES) as AuditAction[];

export interface AuditEvent {
  readonly action: AuditAction;
  /** Address of the client; `local` for a command on the server's machine. */
  readonly address: string;
  /** The user who acted; undefined if unknown. */
  readonly by?: Pick<UserRow, "id" | "username"> | undefined;
  /** The user who was affected, if it is another one. */
  readonly target?: Pick<UserRow, "id" | "username"> | undefined;
  /** Additional facts. Never a secret. */
  readonly facts?: Readonly<Record<string, string | number>>;
}

/** Refused attempts cost their sender nothing, so a limit keeps them from filling the disk. */
const REFUSALS_LOGGED = { capacity: 60, periodMs: 60_000 };
/** In characters. Facts may contain what an unauthenticated client sent as its e-mail address. */
const MAX_FACT_LENGTH = 254;

/**
 * The record of logins and of changes to what users may do: lines of the server's log whose field `audit` is the action. At most
 * sixty refusals a minute are written; the next line gives the number omitted.
 */
export class Audit {
  readonly #log: Logger;
  readonly #count: (action: AuditAction) => void;
  readonly #clock: WallClock;
  readonly #refusals = new RateLimit({ ...REFUSALS_LOGGED, maxKeys: 1 });
  #leftOut = 0;

  /** @param count Called for every event, including those that are not written. */
  constructor(log: Logger, clock: WallClock, count: (action: AuditAction) => void) {
    this.#log = log;
    this.#count = count;
    this.#clock = clock;
  }

  record({ action, address, by, target, facts = {} }: AuditEvent): void {
    this.#count(action);
    const refused = action === "login-refused" || action === "password-refused";
    if (refused && this.#refusals.take("", this.#clock.now()) > 0) {
      this.#leftOut++;
      return;
    }
    const fields: Record<string, string | number> = { audit: action };
    if (by !== undefined) Object.assign(fields, { user: by.username, user_id: by.id });
    if (target !== undefined && target.id !== by?.id)
      Object.assign(fields, { target: target.username, target_id: target.id });
    fields["address"] = address;
    for (const [name, value] of Object.entries(facts))
      fields[name] = typeof value === "string" ? value.slice(0, MAX_FACT_LENGTH) : value;
    if (refused && this.#leftOut > 0) {
      fields["left_out"] = this.#leftOut;
      this.#leftOut = 0;
    }
    this.#log[refused ? "warn" : "info"](fields, SENTENCES[action]);
  }
}
