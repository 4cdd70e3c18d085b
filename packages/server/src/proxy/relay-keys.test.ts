import fc from "fast-check";
import { expect, test } from "vitest";
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";
import { addMs, instant } from "wg-userspace/base/instant";
import { RelayKeys } from "./relay-keys.ts";

const NOW = instant(0);
const FIFTEEN_MINUTES = 15 * 60_000;
const GRACE_OVER = addMs(NOW, 60_000);
const hex = (n: number): string => n.toString(16).padStart(64, "0");
const key = (n: number): Uint8Array => hexDecode(hex(n));
const none = (): boolean => false;

/** Keys after the registration and a complete snapshot of these. */
function listed(...keys: readonly number[]): RelayKeys {
  const known = new RelayKeys();
  known.registered(true);
  known.opened(NOW);
  known.received({ snapshot: true, add: keys.map(hex) }, NOW);
  return known;
}

test("before the registration no client is admitted; without a stream of keys every client is", () => {
  const keys = new RelayKeys();
  expect([keys.state(NOW), keys.admits(key(1), none, NOW)]).toEqual(["closed", false]);
  expect(keys.registered(false)).toBe(true);
  expect(keys.registered(false)).toBe(false);
  expect([keys.state(NOW), keys.admits(key(1), none, NOW)]).toEqual(["open", true]);
  const never = addMs(NOW, 10 * FIFTEEN_MINUTES);
  expect(keys.admits(key(1), none, never)).toBe(true);
});

test("a snapshot names all, changes add and remove", () => {
  const keys = listed(1, 2);
  expect([1, 2, 3].map((n) => keys.admits(key(n), none, NOW))).toEqual([true, true, false]);
  const changes = keys.received({ remove: [hex(1), hex(9)], add: [hex(3), hex(2)] }, NOW);
  expect(changes?.removed.map(hexEncode)).toEqual([hex(1)]);
  expect(changes?.admitted.map(hexEncode)).toEqual([hex(3)]);
  expect([1, 2, 3].map((n) => keys.admits(key(n), none, NOW))).toEqual([false, true, true]);
  expect(keys.received({ add: [hex(4)] }, NOW)?.removed).toEqual([]);
  expect(keys.received({ remove: [hex(4)], add: [hex(4)] }, NOW)?.removed).toEqual([]);
  expect(keys.admits(key(4), none, NOW)).toBe(true);
});

test("a snapshot in several messages counts when it is complete, and until then what was known", () => {
  const keys = listed(1);
  keys.opened(NOW);
  keys.received({ snapshot: true, more: true, add: [hex(2)] }, NOW);
  keys.received({ more: true, add: [hex(3)] }, NOW);
  expect([1, 2, 3, 4].map((n) => keys.admits(key(n), none, NOW))).toEqual([true, false, false, false]);
  const changes = keys.received({ add: [hex(4)] }, NOW);
  expect(changes?.admitted.map(hexEncode)).toEqual([hex(2), hex(3), hex(4)]);
  keys.handleTimeout(GRACE_OVER);
  expect([1, 2, 3, 4].map((n) => keys.admits(key(n), none, NOW))).toEqual([false, true, true, true]);
});

test("keys that the first snapshot of a new stream lacks stay for 60 s, unless they are named again", () => {
  const keys = listed(1, 2, 3);
  const restarted = addMs(NOW, 1_000);
  keys.opened(restarted);
  expect(keys.received({ snapshot: true, add: [] }, restarted)).toEqual({ admitted: [], removed: [], unnamed: false });
  expect([1, 2, 3].map((n) => keys.admits(key(n), none, restarted))).toEqual([true, true, true]);
  keys.received({ add: [hex(1)] }, restarted);
  expect(keys.received({ remove: [hex(2)] }, restarted)?.removed.map(hexEncode)).toEqual([hex(2)]);
  expect(keys.admits(key(2), none, restarted)).toBe(false);
  const over = addMs(restarted, 60_000);
  expect(keys.nextTimeout()).toBe(over);
  expect(keys.handleTimeout(addMs(over, -1)).removed).toEqual([]);
  expect(keys.handleTimeout(over).removed.map(hexEncode)).toEqual([hex(3)]);
  expect([1, 2, 3].map((n) => keys.admits(key(n), none, over))).toEqual([true, false, false]);
  expect(keys.nextTimeout()).toBeUndefined();
});

test("another stream does not prolong the 60 s of a key that was not named in between", () => {
  const keys = listed(1);
  for (const ms of [1_000, 40_000]) {
    keys.opened(addMs(NOW, ms));
    keys.received({ snapshot: true, add: [] }, addMs(NOW, ms));
  }
  expect(keys.nextTimeout()).toBe(addMs(NOW, 61_000));
});

test("a second snapshot in one stream counts at once: its sender has known every key since the first", () => {
  const keys = listed(1, 2);
  expect(keys.received({ snapshot: true, add: [hex(2)] }, NOW)?.removed.map(hexEncode)).toEqual([hex(1)]);
  expect([1, 2].map((n) => keys.admits(key(n), none, NOW))).toEqual([false, true]);
});

test("the limit includes keys in their grace period: the oldest leave", () => {
  const keys = new RelayKeys({ maxKeys: 2 });
  keys.registered(true);
  const removed = [
    [1, 2],
    [3, 4],
    [5, 6],
  ].flatMap((names) => {
    keys.opened(NOW);
    return keys.received({ snapshot: true, add: names.map(hex) }, NOW)!.removed.map(hexEncode);
  });
  expect(removed).toEqual([hex(1), hex(2)]);
});

test("a stream that breaks within a snapshot leaves what was known", () => {
  const keys = listed(1);
  keys.opened(NOW);
  keys.received({ snapshot: true, more: true, add: [hex(2)] }, NOW);
  keys.opened(NOW);
  expect([1, 2].map((n) => keys.admits(key(n), none, NOW))).toEqual([true, false]);
  keys.received({ snapshot: true, add: [hex(5)] }, NOW);
  keys.handleTimeout(GRACE_OVER);
  expect([1, 2, 5].map((n) => keys.admits(key(n), none, NOW))).toEqual([false, false, true]);
});

test.each([
  ["changes before a snapshot", { add: [hex(1)] }],
  ["an invalid key", { snapshot: true, add: ["g".repeat(64)] }],
  ["a key in capitals", { snapshot: true, add: ["A".repeat(64)] }],
  ["more keys than the limit", { snapshot: true, add: [hex(1), hex(2), hex(3), hex(4)] }],
])("%s break the protocol", (_name, message) => {
  const keys = new RelayKeys({ maxKeys: 3 });
  keys.registered(true);
  keys.opened(NOW);
  expect(keys.received(message, NOW)).toBeUndefined();
  expect(keys.complete).toBe(false);
});

test("changes beyond the limit are a protocol error and change nothing", () => {
  const keys = new RelayKeys({ maxKeys: 2 });
  keys.registered(true);
  keys.opened(NOW);
  keys.received({ snapshot: true, add: [hex(1)] }, NOW);
  expect(keys.received({ add: [hex(2), hex(3)] }, NOW)).toBeUndefined();
  expect([keys.size, keys.admits(key(2), none, NOW)]).toEqual([1, false]);
});

test("after 15 minutes of silence the clients that are connected stay, and no others come", () => {
  const keys = listed(1);
  keys.heard(addMs(NOW, 1_000));
  const before = addMs(NOW, FIFTEEN_MINUTES + 999);
  expect([keys.state(before), keys.admits(key(1), none, before)]).toEqual(["listed", true]);
  const after = addMs(NOW, FIFTEEN_MINUTES + 1_000);
  expect(keys.state(after)).toBe("frozen");
  expect(keys.admits(key(1), none, after)).toBe(false);
  expect(keys.admits(key(7), (given) => hexEncode(given) === hex(7), after)).toBe(true);
  keys.opened(after);
  keys.received({ snapshot: true, add: [hex(1)] }, after);
  expect([keys.state(after), keys.admits(key(1), none, after)]).toEqual(["listed", true]);
});

test("an update of the primary closes a relay that was open: connected clients that it does not name leave after 60 s", () => {
  const keys = new RelayKeys();
  keys.registered(false);
  expect(keys.registered(true)).toBe(true);
  const connected = (given: Uint8Array): boolean => hexEncode(given) === hex(1);
  expect([1, 2].map((n) => keys.admits(key(n), connected, NOW))).toEqual([true, false]);
  keys.opened(NOW);
  expect(keys.received({ snapshot: true, add: [hex(2)] }, NOW)?.unnamed).toBe(false);
  expect([1, 2, 3].map((n) => keys.admits(key(n), connected, NOW))).toEqual([true, true, false]);
  expect(keys.nextTimeout()).toBe(GRACE_OVER);
  expect(keys.handleTimeout(GRACE_OVER).unnamed).toBe(true);
  expect([1, 2].map((n) => keys.admits(key(n), connected, GRACE_OVER))).toEqual([false, true]);
});

test("whatever a primary sends, the keys are those of a set that follows the same messages", () => {
  const numbers = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 6 });
  const messages = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant("snapshot" as const), parts: fc.array(numbers, { minLength: 1, maxLength: 3 }) }),
      fc.record({ kind: fc.constant("change" as const), add: numbers, remove: numbers }),
    ),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(messages, (all) => {
      const keys = listed();
      let model = new Set<number>();
      for (const message of all) {
        if (message.kind === "snapshot") {
          const { parts } = message;
          for (const [i, part] of parts.entries())
            keys.received({ snapshot: i === 0, more: i < parts.length - 1, add: part.map(hex) }, NOW);
          model = new Set(parts.flat());
        } else {
          keys.received({ add: message.add.map(hex), remove: message.remove.map(hex) }, NOW);
          for (const n of message.remove) model.delete(n);
          for (const n of message.add) model.add(n);
        }
      }
      for (let n = 0; n <= 9; n++) expect(keys.admits(key(n), none, NOW)).toBe(model.has(n));
    }),
  );
});
