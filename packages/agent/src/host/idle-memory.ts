/**
 * Returns memory that a start or a session left behind. V8 keeps the memory of its young objects and collects old ones only after
 * allocations, of which an agent without sessions makes none for hours.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export class IdleMemory {
  readonly #collect: () => void;
  #used = true;

  constructor(collect: () => void = collectGarbage) {
    this.#collect = collect;
  }

  /** To be called periodically: collects once after the start, and once after each period with sessions. */
  note(sessions: number): void {
    if (sessions > 0) this.#used = true;
    else if (this.#used) {
      this.#used = false;
      this.#collect();
    }
  }
}

/** Node exposes the collector to programs started with a flag; a context made after the flag was set has it too. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("typeof gc === 'function' ? gc : undefined");
  setFlagsFromString("--no-expose-gc");
  if (typeof gc === "function") gc();
}
