/**
 * The parts of a sign-in at an app host other than its ticket: the holder, the lifetime, and the state that binds it to a
 * browser.
 */
import { createHash, randomBytes } from "node:crypto";

const NONCE_BYTES = 16;
export const TICKET_LIFETIME_MS = 60_000;

export interface TicketHolder {
  readonly userId: string;
  readonly keyId: string;
}

export function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString("base64url");
}

/** The digest of a nonce that appears in a URL. */
export function stateOf(nonce: string): string {
  return createHash("sha256").update(nonce).digest("base64url");
}

export function isState(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}
