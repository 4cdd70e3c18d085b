/**
 * One-time tickets of a sign-in: what the main host gives a browser, and an app host takes for a session. Modelled on an OAuth
 * authorization code with state (RFC 6749 §4.1, §10.12). They live in memory: after a restart a browser is sent around again.
 */
import { createHash, randomBytes } from "node:crypto";

const TICKET_BYTES = 32;
const NONCE_BYTES = 16;
export const TICKET_LIFETIME_MS = 60_000;
/** The oldest go first. */
const MAX_TICKETS = 10_000;

export interface TicketHolder {
  readonly userId: string;
  readonly keyId: string;
}

interface Entry extends TicketHolder {
  readonly host: string;
  readonly state: string;
  readonly madeAt: number;
}

export class AppTickets {
  readonly #tickets = new Map<string, Entry>();

  /** @param state What {@link stateOf} makes of the nonce in the cookie of the browser that asks. */
  issue(holder: TicketHolder, host: string, state: string, now: number): string {
    for (const [hash, { madeAt }] of this.#tickets) {
      if (now - madeAt < TICKET_LIFETIME_MS && this.#tickets.size < MAX_TICKETS) break;
      this.#tickets.delete(hash);
    }
    const ticket = randomBytes(TICKET_BYTES).toString("base64url");
    this.#tickets.set(digest(ticket), { userId: holder.userId, keyId: holder.keyId, host, state, madeAt: now });
    return ticket;
  }

  /** Whose it is, if it is valid here; it is void after the first look at it, whatever comes of it. */
  redeem(ticket: string, host: string, nonce: string | undefined, now: number): TicketHolder | undefined {
    const hash = digest(ticket);
    const entry = this.#tickets.get(hash);
    this.#tickets.delete(hash);
    if (entry === undefined || nonce === undefined) return undefined;
    const valid = now - entry.madeAt < TICKET_LIFETIME_MS && entry.host === host && entry.state === stateOf(nonce);
    return valid ? { userId: entry.userId, keyId: entry.keyId } : undefined;
  }
}

export function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString("base64url");
}

/** What of a nonce appears in a URL. */
export function stateOf(nonce: string): string {
  return createHash("sha256").update(nonce).digest("base64url");
}

export function isState(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}

function digest(ticket: string): string {
  return createHash("sha256").update(ticket).digest("base64url");
}
