import { describe, expect, it } from "vitest";
import { type Instant, instant } from "wg-userspace/base/instant";
import { SilenceAlarm } from "./silence-alarm.ts";

/** The alarm's actions from `from` until `to`, with input at the times `heard`. */
function run(alarm: SilenceAlarm, from: number, to: number, heard: readonly number[]): [number, string][] {
  const done: [number, string][] = [];
  for (let now = from; now <= to; now += 100) {
    if (heard.includes(now)) alarm.heard(instant(now));
    const action = alarm.handleTimeout(instant(now));
    if (action !== undefined) done.push([now, action]);
    if (action === "dead") break;
  }
  return done;
}

const every = (step: number, to: number): number[] =>
  Array.from({ length: Math.floor(to / step) }, (_, i) => (i + 1) * step);

describe("the alarm of a control connection", () => {
  it("sends no ping while the server pings every 15 s", () => {
    expect(run(new SilenceAlarm(instant(0)), 0, 600_000, every(15_000, 600_000))).toEqual([]);
  });

  it("finds a connection dead within 25 s of the last input", () => {
    expect(run(new SilenceAlarm(instant(0)), 0, 120_000, [15_000])).toEqual([
      [34_000, "ask"],
      [39_000, "dead"],
    ]);
  });

  it("is reset by an answer, and pings a server that never pings only once", () => {
    // The answer to the ping, and then the server's answers to our own keepalives.
    expect(run(new SilenceAlarm(instant(0)), 0, 600_000, [19_500, ...every(30_000, 600_000)])).toEqual([
      [19_000, "ask"],
    ]);
  });

  it("pings before it gives up when the process was stopped for long", () => {
    const alarm = new SilenceAlarm(instant(0));
    const later = instant(900_000);
    expect(alarm.handleTimeout(later)).toBe("ask");
    expect(alarm.handleTimeout((later + 4_999) as Instant)).toBeUndefined();
    expect(alarm.handleTimeout((later + 5_000) as Instant)).toBe("dead");
  });
});
