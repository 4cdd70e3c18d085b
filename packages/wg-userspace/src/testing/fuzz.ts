/**
 * Seeded fuzzing of parsers and of the state machines behind them. A target takes one input at a time, as the network
 * would deliver it, and keeps its state between inputs; a run is repeatable from its seed. Pure: time is a function that
 * the caller passes, and only runs that get one measure it.
 */
import { LinkRandom } from "./link.ts";

/** One thing under test. */
export interface FuzzTarget {
  /** Inputs that are valid now; called again from time to time, so that sessions can be kept alive. */
  corpus(): readonly Uint8Array[];
  /** One input; owned by the target. Throws when anything is wrong. */
  feed(input: Uint8Array): void;
  /** Makes a mutated input pass the outermost check (a checksum, a MAC), so that what is behind it is reached. */
  repair?(input: Uint8Array): void;
  /** Tables that must not outgrow their limits. */
  bounds?(): readonly FuzzBound[];
}

export interface FuzzBound {
  readonly what: string;
  readonly size: number;
  readonly limit: number;
}

export interface FuzzTargetFactory {
  readonly name: string;
  create(): FuzzTarget;
}

export interface FuzzTiming {
  /** Milliseconds, monotonic; a call must be cheap. */
  readonly clock: () => number;
  /** Milliseconds of this thread's CPU time; read only when an input took too long, to see whether the input was the cause. */
  readonly cpuClock: () => number;
  /** No single input may take longer. */
  readonly limitMs: number;
}

export interface FuzzFailure {
  /** Counted from 0 in the run. */
  readonly index: number;
  readonly input: Uint8Array;
  readonly what: string;
}

/** Inputs between two calls for the corpus and the bounds. */
const CORPUS_INPUTS = 2_000;
const MAX_RANDOM_BYTES = 1_600;
const MAX_INPUT_BYTES = 4_096;
const ODD_NUMBERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** A run over one target; run() may be called again at any time. */
export class FuzzRun {
  /** The slowest input, and how many were too slow once but not when repeated: interruptions of the process. */
  slowestMs = 0;
  interruptions = 0;
  inputs = 0;
  readonly #factory: FuzzTargetFactory;
  readonly #timing: FuzzTiming | undefined;
  readonly #source: InputSource;
  #target: FuzzTarget;
  #corpus: readonly Uint8Array[] = [];

  constructor(factory: FuzzTargetFactory, seed: number, timing?: FuzzTiming) {
    this.#factory = factory;
    this.#timing = timing;
    this.#source = new InputSource(seed);
    this.#target = factory.create();
  }

  /** Feeds `count` inputs. Undefined when all went well. */
  run(count: number): FuzzFailure | undefined {
    for (let left = count; left > 0; left--) {
      if (this.inputs % CORPUS_INPUTS === 0) {
        const outgrown = this.#outgrown();
        if (outgrown !== undefined) return { index: this.inputs, input: new Uint8Array(0), what: outgrown };
        this.#corpus = this.#target.corpus();
      }
      const input = this.#source.next(this.#corpus);
      if (this.#source.wantsRepair()) this.#target.repair?.(input);
      const what = this.#feed(input);
      if (what !== undefined) return { index: this.inputs, input, what };
      this.inputs++;
    }
    const outgrown = this.#outgrown();
    return outgrown === undefined ? undefined : { index: this.inputs, input: new Uint8Array(0), what: outgrown };
  }

  #feed(input: Uint8Array): string | undefined {
    const timing = this.#timing;
    try {
      if (timing === undefined) {
        this.#target.feed(input.slice());
        return undefined;
      }
      const elapsed = timed(this.#target, input, timing.clock);
      if (elapsed <= timing.limitMs) {
        if (elapsed > this.slowestMs) this.slowestMs = elapsed;
        return undefined;
      }
      // The scheduler or the garbage collector is to blame, unless the same input is slow again: here, or as the first
      // of a new target.
      const again = Math.max(
        timed(this.#target, input, timing.cpuClock),
        timed(this.#factory.create(), input, timing.cpuClock),
      );
      this.interruptions++;
      return again > timing.limitMs ? `took ${elapsed.toFixed(1)} ms, and ${again.toFixed(1)} ms again` : undefined;
    } catch (error) {
      return `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    }
  }

  #outgrown(): string | undefined {
    const over = this.#target.bounds?.().find(({ size, limit }) => size > limit);
    return over === undefined ? undefined : `${over.what} grew to ${over.size}, the limit is ${over.limit}`;
  }
}

function timed(target: FuzzTarget, input: Uint8Array, clock: () => number): number {
  const started = clock();
  target.feed(input.slice());
  return clock() - started;
}

/** Inputs from a seed: valid ones, mutated ones, and plain noise. */
export class InputSource {
  readonly #random: LinkRandom;

  constructor(seed: number) {
    this.#random = new LinkRandom(seed);
  }

  next(corpus: readonly Uint8Array[]): Uint8Array {
    const draw = this.#below(20);
    if (draw < 4 || corpus.length === 0) return this.#noise();
    let input: Uint8Array = this.#pick(corpus).slice();
    if (draw < 6) return input;
    for (let times = 1 + this.#below(4); times > 0; times--) input = this.#mutated(input, corpus);
    return input.subarray(0, MAX_INPUT_BYTES);
  }

  wantsRepair(): boolean {
    return this.#below(4) !== 0;
  }

  #noise(): Uint8Array {
    const limit = this.#below(8) === 0 ? MAX_RANDOM_BYTES : 96;
    const input = this.#random.bytes(this.#below(limit));
    // Small numbers come first in most formats: types, versions, lengths.
    for (let i = 0; i < Math.min(4, input.length); i++) if (this.#below(2) === 0) input[i]! &= 0x1f;
    return input;
  }

  #mutated(input: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
    const at = this.#below(input.length + 1);
    const some = this.#below(Math.min(64, input.length - at) + 1);
    switch (this.#below(10)) {
      case 0:
        if (at < input.length) input[at]! ^= 1 << this.#below(8);
        return input;
      case 1:
        if (at < input.length) input[at] = this.#random.uint32() & 255;
        return input;
      case 2:
      case 3:
        return this.#withNumber(input, at);
      case 4:
        return input.slice(0, at);
      case 5:
        return joined(input, this.#random.bytes(this.#below(48)));
      case 6:
        return joined(input.subarray(0, at), input.subarray(at + some));
      case 7:
        return joined(input.subarray(0, at + some), input.subarray(at));
      case 8: {
        const other = this.#pick(corpus);
        return joined(input.subarray(0, at), other.subarray(this.#below(other.length + 1)));
      }
      default:
        return joined(input.subarray(0, at), this.#random.bytes(some), input.subarray(at));
    }
  }

  /** An unusual number of one, two or four bytes, in either byte order, at a place where a field may be. */
  #withNumber(input: Uint8Array, at: number): Uint8Array {
    const width = 1 << this.#below(3);
    const value = this.#pick(ODD_NUMBERS) + (this.#below(4) === 0 ? this.#below(16) : 0);
    const little = this.#below(2) === 0;
    for (let i = 0; i < width && at + i < input.length; i++)
      input[at + i] = (value >>> (8 * (little ? i : width - 1 - i))) & 255;
    return input;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)]!;
  }

  #below(limit: number): number {
    return Math.floor(this.#random.fraction() * limit);
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
