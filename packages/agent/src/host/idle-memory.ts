/**
 * Gives back what a start or a session left behind. V8 keeps the memory of its young objects and waits for allocations before
 * it collects the old ones; an agent without sessions makes none for hours.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export class IdleMemory {
  readonly #collect: () => void;
  #used = true;

  constructor(collect: () => void = collectGarbage) {
    this.#collect = collect;
  }

  /** Call now and then: collects once after each time in which there were sessions, and once after the start. */
  note(sessions: number): void {
    if (sessions > 0) this.#used = true;
    else if (this.#used) {
      this.#used = false;
      this.#collect();
    }
  }
}

/** Node offers it to programs that were started with a flag; contexts that are made after the flag was set have it as well. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("typeof gc === 'function' ? gc : undefined");
  setFlagsFromString("--no-expose-gc");
  if (typeof gc === "function") gc();
}
