/**
 * One-time tickets of sign-ins at hosts of workspace proxies. Browser and proxy may reach two servers of the deployment, so
 * nothing of a ticket is kept in memory: it is sealed (AES-256-GCM), bound to host, state and proxy, and the session that it
 * becomes has an id that follows from it, which the store takes once.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { stateOf, TICKET_LIFETIME_MS, type TicketHolder } from "./tickets.ts";

const IV_BYTES = 12;
const TAG_BYTES = 16;
const MAX_LENGTH = 256;
const CONTENT = /^(\d{1,16}) ([A-Za-z0-9]{1,64}) ([0-9a-f-]{36})$/;

export interface TicketPlace {
  readonly proxyId: string;
  /** In lower case, without a port. */
  readonly host: string;
}

export interface RedeemedTicket {
  readonly holder: TicketHolder;
  readonly sessionId: string;
}

export class SealedTickets {
  readonly #sealing: Uint8Array;
  readonly #sessions: Uint8Array;

  /** @param shared The deployment's signing key, the same at all of its servers. */
  constructor(shared: Uint8Array) {
    const derived = (purpose: string): Buffer => createHmac("sha256", shared).update(purpose).digest();
    this.#sealing = derived("app ticket");
    this.#sessions = derived("app session of a ticket");
  }

  /** @param state What {@link stateOf} makes of the nonce in the cookie of the browser that asks. */
  issue({ keyId, userId }: TicketHolder, place: TicketPlace, state: string, now: number): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#sealing, iv).setAAD(binding(place, state));
    const sealed = [
      iv,
      cipher.update(`${now + TICKET_LIFETIME_MS} ${keyId} ${userId}`),
      cipher.final(),
      cipher.getAuthTag(),
    ];
    return Buffer.concat(sealed).toString("base64url");
  }

  /** Whose it is, where it is valid. That it is used once is up to the id of the session. */
  redeem(ticket: string, place: TicketPlace, nonce: string, now: number): RedeemedTicket | undefined {
    const bytes = Buffer.from(ticket, "base64url");
    // Another text of the same bytes would be another session.
    if (ticket.length > MAX_LENGTH || bytes.length <= IV_BYTES + TAG_BYTES || bytes.toString("base64url") !== ticket)
      return undefined;
    const content = this.#open(bytes, binding(place, stateOf(nonce)));
    const [, endsAt, keyId, userId] = CONTENT.exec(content ?? "") ?? [];
    if (keyId === undefined || userId === undefined || Number(endsAt) <= now) return undefined;
    const sessionId = createHmac("sha256", this.#sessions).update(ticket).digest("base64url");
    return { holder: { keyId, userId }, sessionId };
  }

  #open(bytes: Buffer, bound: Buffer): string | undefined {
    const decipher = createDecipheriv("aes-256-gcm", this.#sealing, bytes.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(bound).setAuthTag(bytes.subarray(-TAG_BYTES));
    const opened = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
    try {
      return Buffer.concat([opened, decipher.final()]).toString("utf8");
    } catch {
      return undefined; // not ours, or for another place
    }
  }
}

function binding({ proxyId, host }: TicketPlace, state: string): Buffer {
  return Buffer.from([proxyId, host, state].join("\0"));
}
