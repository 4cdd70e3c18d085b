import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { OpenStreams } from "../base/open-streams.ts";
import type { AppDecision } from "./decision.ts";
import { OpenExchanges } from "./open-exchanges.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const DECISION = {
  visitor: { userId: "u", keyId: "k" },
  target: { workspaceId: "w", ownerId: "o" },
} as unknown as AppDecision;

const REVOKED = { kind: "key-revoked", keyId: "k", userId: "u" } as const;

function started() {
  const onError = vi.fn();
  const exchanges = new OpenExchanges({ now: Date.now, streams: new OpenStreams(), onError });
  const add = (stillHolds: () => Promise<boolean>, endsAt?: number) => {
    const exchange = { decision: DECISION, endsAt, stillHolds: vi.fn(stillHolds), end: vi.fn() };
    return { ...exchange, over: exchanges.add(exchange) };
  };
  return { exchanges, add, onError };
}

test.each([
  ["a revoked login", (exchanges: OpenExchanges) => exchanges.onAccessEvent(REVOKED)],
  ["a changed workspace", (exchanges: OpenExchanges) => exchanges.onWorkspaceChange("w")],
])("a right that ended while it was being decided about ends the exchange at once: %s", async (_, change) => {
  const { exchanges, add } = started();
  change(exchanges);
  await vi.advanceTimersByTimeAsync(30_000); // a slow decision
  const late = add(async () => false);
  await vi.advanceTimersByTimeAsync(0);
  expect(late.end).toHaveBeenCalledOnce();
  exchanges.close();
});

test("changes that concern others, or are long past, cause no check, and their number is limited", async () => {
  const { exchanges, add } = started();
  exchanges.onAccessEvent(REVOKED);
  await vi.advanceTimersByTimeAsync(60_001);
  exchanges.onAccessEvent({ kind: "key-revoked", keyId: "another", userId: "u" });
  exchanges.onWorkspaceChange("another");
  const late = add(async () => true);
  await vi.advanceTimersByTimeAsync(0);
  expect(late.stillHolds).not.toHaveBeenCalled();
  exchanges.onWorkspaceChange("w");
  for (let i = 0; i < 1_024; i++) exchanges.onWorkspaceChange("another");
  const later = add(async () => false);
  await vi.advanceTimersByTimeAsync(0);
  expect(later.stillHolds).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(later.end).toHaveBeenCalledOnce();
  exchanges.close();
});

test("an exchange whose right holds is rechecked once, and one that is over is not rechecked", async () => {
  const { exchanges, add } = started();
  const [long, short] = [add(async () => true), add(async () => true)];
  await vi.advanceTimersByTimeAsync(1_500);
  short.over();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([long.stillHolds.mock.calls.length, short.stillHolds.mock.calls.length]).toEqual([1, 0]);
  expect(long.end).not.toHaveBeenCalled();
  exchanges.close();
});

test("an event rechecks the exchanges that it concerns", async () => {
  const { exchanges, add } = started();
  const open = add(async () => false);
  exchanges.onAccessEvent({ kind: "key-revoked", keyId: "another", userId: "u" });
  exchanges.onWorkspaceChange("another");
  await vi.advanceTimersByTimeAsync(0);
  expect(open.stillHolds).not.toHaveBeenCalled();
  exchanges.onWorkspaceChange("w");
  await vi.advanceTimersByTimeAsync(0);
  expect(open.end).toHaveBeenCalledOnce();
  exchanges.close();
});
