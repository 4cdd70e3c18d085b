import type { Instant } from "./instant.ts";

/**
 * Named deadlines of one state machine. `Name` is a closed union of string literals; each name has at most one deadline.
 * Small by design: every operation is linear in the number of armed timers.
 */
export class TimerTable<Name extends string> {
  readonly #deadlines = new Map<Name, Instant>();

  /** Undefined disarms. */
  set(name: Name, at: Instant | undefined): void {
    if (at === undefined) this.#deadlines.delete(name);
    else this.#deadlines.set(name, at);
  }
  /** Sets the deadline unless it is armed for an earlier time. */
  setEarlier(name: Name, at: Instant): void {
    const armed = this.#deadlines.get(name);
    if (armed === undefined || at < armed) this.#deadlines.set(name, at);
  }
  clear(name: Name): void {
    this.#deadlines.delete(name);
  }
  clearAll(): void {
    this.#deadlines.clear();
  }
  at(name: Name): Instant | undefined {
    return this.#deadlines.get(name);
  }
  has(name: Name): boolean {
    return this.#deadlines.has(name);
  }
  /** Whether its deadline has come; it stays armed. */
  isDue(name: Name, now: Instant): boolean {
    const at = this.#deadlines.get(name);
    return at !== undefined && at <= now;
  }
  /** The earliest deadline, or undefined when nothing is armed. */
  next(): Instant | undefined {
    let next: Instant | undefined;
    for (const at of this.#deadlines.values()) if (next === undefined || at < next) next = at;
    return next;
  }
  /** Disarms and returns the earliest timer that is due, or undefined. Call until it returns undefined. */
  takeExpired(now: Instant): Name | undefined {
    let found: Name | undefined;
    let foundAt: Instant | undefined;
    for (const [name, at] of this.#deadlines) {
      if (at <= now && (foundAt === undefined || at < foundAt)) {
        found = name;
        foundAt = at;
      }
    }
    if (found !== undefined) this.#deadlines.delete(found);
    return found;
  }
}
