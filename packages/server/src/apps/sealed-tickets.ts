/**
 * One-time tickets of sign-ins: what the main host gives a browser, and an app host takes for a session. Modelled on an OAuth
 * authorization code with state (RFC 6749 §4.1, §10.12). The steps of a sign-in may reach different servers of the deployment, so
 * nothing of a ticket is kept in memory: it is sealed, bound to host, state and proxy, and the session that it becomes has an id
 * that follows from it, which the store takes once.
 */
import { createHmac } from "node:crypto";
import { Sealing } from "./sealing.ts";
import { stateOf, TICKET_LIFETIME_MS, type TicketHolder } from "./tickets.ts";

const MAX_LENGTH = 256;
const CONTENT = /^(\d{1,16}) ([A-Za-z0-9]{1,64}) ([0-9a-f-]{36})$/;
/** In place of a proxy, for the hosts of the deployment itself. */
export const NO_PROXY = "";

export interface TicketPlace {
  /** That the host is at; {@link NO_PROXY} for a host of the deployment itself. */
  readonly proxyId: string;
  /** In lower case, without a port. */
  readonly host: string;
}

export interface RedeemedTicket {
  readonly holder: TicketHolder;
  readonly sessionId: string;
}

export class SealedTickets {
  readonly #sealing: Sealing;
  readonly #sessions: Uint8Array;

  /** @param shared The deployment's signing key, the same at all of its servers. */
  constructor(shared: Uint8Array) {
    this.#sealing = new Sealing(shared, "app ticket");
    this.#sessions = createHmac("sha256", shared).update("app session of a ticket").digest();
  }

  /** @param state What {@link stateOf} makes of the nonce in the cookie of the browser that asks. */
  issue({ keyId, userId }: TicketHolder, { proxyId, host }: TicketPlace, state: string, now: number): string {
    return this.#sealing.seal(`${now + TICKET_LIFETIME_MS} ${keyId} ${userId}`, [proxyId, host, state]);
  }

  /** Whose it is, where it is valid. That it is used once is up to the id of the session. */
  redeem(ticket: string, { proxyId, host }: TicketPlace, nonce: string, now: number): RedeemedTicket | undefined {
    if (ticket.length > MAX_LENGTH) return undefined;
    const content = this.#sealing.open(ticket, [proxyId, host, stateOf(nonce)]);
    const [, endsAt, keyId, userId] = CONTENT.exec(content ?? "") ?? [];
    if (keyId === undefined || userId === undefined || Number(endsAt) <= now) return undefined;
    const sessionId = createHmac("sha256", this.#sessions).update(ticket).digest("base64url");
    return { holder: { keyId, userId }, sessionId };
  }
}
