import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { SealedTickets } from "./sealed-tickets.ts";
import { newNonce, stateOf } from "./tickets.ts";

const NOW = Date.UTC(2026, 10, 30);
const holder = { keyId: "AbCdEfGhIj", userId: "3c0ffee0-0000-4000-8000-000000000001" };
const place = { proxyId: "3c0ffee0-0000-4000-8000-000000000002", host: "8080--main--dev--ada.near.test" };
const shared = randomBytes(32);
const tickets = new SealedTickets(shared);
const nonce = newNonce();
const ticket = tickets.issue(holder, place, stateOf(nonce), NOW);

test("any server of the deployment opens a ticket, and makes the same session of it", () => {
  const found = new SealedTickets(shared).redeem(ticket, place, nonce, NOW + 59_999);
  expect(found?.holder).toEqual(holder);
  expect(found?.sessionId).toMatch(/^[\w-]{43}$/);
  expect(tickets.redeem(ticket, place, nonce, NOW)).toEqual(found);
  const other = tickets.redeem(tickets.issue(holder, place, stateOf(nonce), NOW), place, nonce, NOW);
  expect(other?.sessionId).not.toBe(found?.sessionId);
  expect(ticket.length).toBeLessThan(256);
});

test("a ticket is refused when it is late, in another browser, at another host or proxy, or at another deployment", () => {
  expect(tickets.redeem(ticket, place, nonce, NOW + 60_000)).toBeUndefined();
  expect(tickets.redeem(ticket, place, newNonce(), NOW)).toBeUndefined();
  expect(tickets.redeem(ticket, place, "", NOW)).toBeUndefined();
  expect(tickets.redeem(ticket, { ...place, host: `p---${place.host}` }, nonce, NOW)).toBeUndefined();
  expect(tickets.redeem(ticket, { ...place, proxyId: holder.userId }, nonce, NOW)).toBeUndefined();
  expect(new SealedTickets(randomBytes(32)).redeem(ticket, place, nonce, NOW)).toBeUndefined();
});

test("a changed, cut or padded ticket is refused", () => {
  for (let at = 0; at < ticket.length; at++) {
    const changed = `${ticket.slice(0, at)}${ticket[at] === "A" ? "B" : "A"}${ticket.slice(at + 1)}`;
    expect(tickets.redeem(changed, place, nonce, NOW)).toBeUndefined();
    expect(tickets.redeem(ticket.slice(0, at), place, nonce, NOW)).toBeUndefined();
  }
  for (const text of [`${ticket}=`, `${ticket} `, `${ticket}.`, "A".repeat(43), "A".repeat(10_000)])
    expect(tickets.redeem(text, place, nonce, NOW)).toBeUndefined();
});
