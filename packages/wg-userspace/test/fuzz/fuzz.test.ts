import { describe, expect, it } from "vitest";
import { hexEncode } from "../../src/base/bytes.ts";
import { FuzzRun, type FuzzTarget, InputSource } from "../../src/testing/fuzz.ts";
import { ENGINE_TARGETS } from "./targets.ts";

const INPUTS = 4_000;
const SEED = 1;

describe("security 42: parsers of the engine", () => {
  it.each(ENGINE_TARGETS)("$name accepts any input without a throw, within its bounds", (factory) => {
    const failure = new FuzzRun(factory, SEED).run(INPUTS);
    expect(failure === undefined ? "" : `input ${failure.index} ${hexEncode(failure.input)}: ${failure.what}`).toBe("");
  });
});

describe("FuzzRun", () => {
  const run = (target: Partial<FuzzTarget>, timing?: ConstructorParameters<typeof FuzzRun>[2]) =>
    new FuzzRun(
      { name: "t", create: () => ({ corpus: () => [Uint8Array.of(1, 2, 3)], feed: () => undefined, ...target }) },
      SEED,
      timing,
    );

  it("reports the input that made a target throw", () => {
    const failure = run({
      feed: (input) => {
        if (input[0] === 0xff) throw new Error("cannot take 255");
      },
    }).run(100_000);
    expect(failure?.what).toContain("cannot take 255");
    expect(failure?.input[0]).toBe(0xff);
  });

  it("reports an input that is slow every time, and forgives one that was slow once", () => {
    let now = 0;
    const slowFor = (isSlow: (input: Uint8Array) => boolean) => (input: Uint8Array) => {
      now += isSlow(input) ? 50 : 0.01;
    };
    const timing = { clock: () => now, cpuClock: () => now, limitMs: 10 };
    const always = run({ feed: slowFor((input) => input[0] === 7) }, timing).run(100_000);
    expect(always?.what).toMatch(/^took 50\.0 ms, and 50\.0 ms again$/);
    let left = 1;
    const once = run({ feed: slowFor((input) => input[0] === 7 && left-- > 0) }, timing);
    expect(once.run(100_000)).toBeUndefined();
    expect(once.interruptions).toBe(1);
  });

  it("reports a table that grows over its limit", () => {
    let size = 0;
    const failure = run({ feed: () => void size++, bounds: () => [{ what: "table", size, limit: 10 }] }).run(100);
    expect(failure?.what).toBe("table grew to 100, the limit is 10");
  });

  it("makes the same inputs from the same seed, and others from another", () => {
    const inputs = (seed: number) => {
      const source = new InputSource(seed);
      return Array.from({ length: 50 }, () => hexEncode(source.next([Uint8Array.of(1, 2, 3, 4)])));
    };
    expect(inputs(3)).toEqual(inputs(3));
    expect(inputs(3)).not.toEqual(inputs(4));
  });
});
