import fc from "fast-check";
import { expect, test } from "vitest";
import { addMs, type Instant, instant } from "wg-userspace/base/instant";
import { RegisterLoop, type RegisterStep } from "./register-loop.ts";

const START = instant(1_000);
const MINUTE = 60_000;

/** The loop in virtual time: its steps and when they happen. */
class Time {
  now: Instant = START;
  readonly loop: RegisterLoop;
  readonly steps: { readonly step: RegisterStep; readonly afterMs: number }[] = [];

  constructor(random: () => number = () => 0) {
    this.loop = new RegisterLoop(this.now, random);
  }

  /** Advances to the next step, which is then in progress. Undefined if there is none. */
  next(): RegisterStep | undefined {
    for (;;) {
      const step = this.loop.due(this.now);
      if (step !== undefined) {
        this.steps.push({ step, afterMs: this.now - START });
        return step;
      }
      const at = this.loop.nextTimeout();
      if (at === undefined) return undefined;
      if (at > this.now) this.now = at;
      else if (this.loop.end !== undefined) return undefined;
    }
  }

  registered(): this {
    this.next();
    this.loop.identified(false, this.now);
    this.next();
    this.loop.accepted(undefined, this.now);
    return this;
  }
}

test("it identifies the primary, registers at once, and every 30 s from then on", () => {
  const time = new Time().registered();
  for (let i = 0; i < 3; i++) {
    time.next();
    time.now = addMs(time.now, 200);
    time.loop.accepted(30_000, time.now);
  }
  expect(time.steps).toEqual([
    { step: "identify", afterMs: 0 },
    { step: "register", afterMs: 0 },
    { step: "register", afterMs: 30_000 },
    { step: "register", afterMs: 60_200 },
    { step: "register", afterMs: 90_400 },
  ]);
});

test("nothing is due while a step is under way, however long it takes", () => {
  const time = new Time();
  time.next();
  expect(time.loop.due(addMs(time.now, 10 * MINUTE))).toBeUndefined();
  expect(time.loop.nextTimeout()).toBeUndefined();
});

test.each([
  ["asks for less than 5 s", 10, 5_000],
  ["asks for 45 s", 45_000, 45_000],
  ["asks for a day", 86_400_000, 600_000],
])("a primary that %s is asked again within bounds", (_name, refreshMs, expected) => {
  const time = new Time().registered();
  time.next();
  const from = time.now;
  time.loop.accepted(refreshMs, from);
  time.next();
  expect(time.now - from).toBe(expected);
});

test("failures are followed by attempts after 5 to 60 s, without a limit", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 64 }), (draws) => {
      let at = 0;
      const time = new Time(() => draws[at++ % draws.length]!);
      let limit = 10_000;
      for (let i = 0; i < 200; i++) {
        expect(time.next()).toBe("identify");
        const from = time.now;
        time.loop.failed("away", from);
        const waitMs = time.loop.nextTimeout()! - from;
        expect(waitMs).toBeGreaterThanOrEqual(5_000);
        expect(waitMs).toBeLessThanOrEqual(limit);
        limit = Math.min(60_000, 2 * limit);
      }
      expect(time.loop.end).toBeUndefined();
      expect(time.loop.failures).toBe(200);
    }),
    { numRuns: 50 },
  );
});

test("a success ends the back-off, and what is reported as failing", () => {
  const time = new Time(() => 1).registered();
  for (const _ of [1, 2, 3]) {
    time.next();
    time.loop.failed("away", time.now);
  }
  expect(time.loop.failure).toEqual({ why: "away", since: addMs(START, 30_000) });
  time.next();
  time.loop.accepted(undefined, time.now);
  expect(time.loop.failure).toBeUndefined();
  time.next();
  time.loop.failed("away", time.now);
  expect(time.loop.nextTimeout()! - time.now).toBe(10_000);
  expect(time.loop.registered).toBe(true);
});

test("a primary that is itself a proxy ends it", () => {
  const time = new Time();
  time.next();
  time.loop.identified(true, time.now);
  expect([time.next(), time.loop.end]).toEqual([undefined, "primary-is-proxy"]);
});

test("a token that was never accepted ends it at once", () => {
  const time = new Time();
  time.next();
  time.loop.identified(false, time.now);
  time.next();
  time.loop.refused("no", time.now);
  expect([time.next(), time.loop.end]).toEqual([undefined, "token-refused"]);
});

test("a token that was accepted before is tried for 15 minutes more", () => {
  const time = new Time().registered();
  time.next();
  const refusedAt = time.now;
  time.loop.refused("no", refusedAt);
  for (let step = time.next(); step !== undefined; step = time.next()) time.loop.refused("no", time.now);
  expect(time.loop.end).toBe("token-revoked");
  expect(time.now - refusedAt).toBe(15 * MINUTE);
  expect(time.steps.length).toBeGreaterThan(15);
});

test("the 15 minutes end also while a step hangs", () => {
  const time = new Time().registered();
  time.next();
  const refusedAt = time.now;
  time.loop.refused("no", refusedAt);
  time.next();
  expect([time.next(), time.loop.end]).toEqual([undefined, "token-revoked"]);
  expect(time.now - refusedAt).toBe(15 * MINUTE);
});

test("a token that is accepted again in time stops the 15 minutes; a primary that is away does not", () => {
  const time = new Time().registered();
  time.next();
  const refusedAt = time.now;
  time.loop.refused("no", refusedAt);
  time.next();
  time.loop.failed("away", time.now);
  expect(time.loop.refusedAt).toBe(refusedAt);
  time.next();
  time.loop.accepted(undefined, time.now);
  expect(time.loop.refusedAt).toBeUndefined();
  time.now = addMs(time.now, 20 * MINUTE);
  expect([time.next(), time.loop.end]).toEqual(["register", undefined]);
});

test("the process ends only if the last answer is a refusal: an outage after one does not end it", () => {
  const time = new Time().registered();
  time.next();
  const refusedAt = time.now;
  time.loop.refused("no", refusedAt);
  while (time.now - refusedAt < 60 * MINUTE) {
    expect(time.next()).toBe("register");
    time.loop.failed("away", time.now);
  }
  expect(time.loop.end).toBeUndefined();
  time.next();
  time.loop.refused("no", time.now);
  expect([time.next(), time.loop.end]).toEqual([undefined, "token-revoked"]);
});

test("renewSoon brings the next step forward, at most once a second", () => {
  const time = new Time().registered();
  const from = time.now;
  time.loop.renewSoon(addMs(from, 10));
  time.next();
  expect(time.now - from).toBe(1_000);
  time.loop.accepted(undefined, time.now);
  time.loop.renewSoon(addMs(time.now, 5_000));
  time.next();
  expect(time.now - from).toBe(6_000);
});
