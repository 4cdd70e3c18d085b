/**
 * One-time sign-in tickets: the main host gives one to a browser, and an app host exchanges it for a session. Modelled on an
 * OAuth authorization code with state (RFC 6749 §4.1, §10.12). The steps of a sign-in may reach different servers of the
 * deployment, so no ticket is kept in memory: it is sealed and bound to host, state and proxy. The id of the session is derived
 * from the ticket, and the store accepts each id only once.
 */
import { createHmac } from "node:crypto";
import { Sealing } from "./sealing.ts";
import { stateOf, TICKET_LIFETIME_MS, type TicketHolder } from "./tickets.ts";

const MAX_LENGTH = 256;
const CONTENT = /^(\d{1,16}) ([A-Za-z0-9]{1,64}) ([0-9a-f-]{36})$/;
/** Stands in for the proxy's id at hosts of the deployment itself. */
export const NO_PROXY = "";

export interface TicketPlace {
  /** The proxy that serves the host; {@link NO_PROXY} for a host of the deployment itself. */
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

  /** @param shared The deployment's signing key, which all its servers share. */
  constructor(shared: Uint8Array) {
    this.#sealing = new Sealing(shared, "app ticket");
    this.#sessions = createHmac("sha256", shared).update("app session of a ticket").digest();
  }

  /** @param state {@link stateOf} the nonce in the cookie of the requesting browser. */
  issue({ keyId, userId }: TicketHolder, { proxyId, host }: TicketPlace, state: string, now: number): string {
    return this.#sealing.seal(`${now + TICKET_LIFETIME_MS} ${keyId} ${userId}`, [proxyId, host, state]);
  }

  /** The holder of a ticket that is valid here. The unique id of the session is what ensures that a ticket is used once. */
  redeem(ticket: string, { proxyId, host }: TicketPlace, nonce: string, now: number): RedeemedTicket | undefined {
    if (ticket.length > MAX_LENGTH) return undefined;
    const content = this.#sealing.open(ticket, [proxyId, host, stateOf(nonce)]);
    const [, endsAt, keyId, userId] = CONTENT.exec(content ?? "") ?? [];
    if (keyId === undefined || userId === undefined || Number(endsAt) <= now) return undefined;
    const sessionId = createHmac("sha256", this.#sessions).update(ticket).digest("base64url");
    return { holder: { keyId, userId }, sessionId };
  }
}
