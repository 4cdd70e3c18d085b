/** A command that counts forever, and a reader that detects every gap. */
import { until } from "./deadline.ts";
import type { Session } from "./deployment.ts";

/** A line every 50 ms, so a gap is measured with that resolution. */
export const COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";
/** Generous: usually a tenth is enough. */
export const BACK_WITHIN_MS = 20_000;

/** Reads the numbers of `COUNT` and throws when one does not follow its predecessor. */
export class Counter {
  last = 0;
  /** Longest silence since `markGap`, including the current one. */
  #gap = 0;
  #heardAt = performance.now();
  #rest = "";
  #failure: Error | undefined;

  constructor(session: Session) {
    session.child.stdout!.on("data", (chunk: Buffer) => {
      const now = performance.now();
      this.#gap = Math.max(this.#gap, now - this.#heardAt);
      this.#heardAt = now;
      const lines = (this.#rest + chunk.toString("latin1")).split("\n");
      this.#rest = lines.pop()!;
      for (const line of lines) {
        if (line !== String(this.last + 1)) this.#failure ??= new Error(`after ${this.last} came "${line}"`);
        this.last++;
      }
    });
    session.child.once("exit", (code, signal) => {
      this.#failure ??= new Error(`the session ended with ${code ?? signal} after ${this.last}: ${session.log}`);
    });
  }

  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  get gapMs(): number {
    return Math.round(Math.max(this.#gap, performance.now() - this.#heardAt));
  }

  markGap(): void {
    this.#gap = 0;
    this.#heardAt = performance.now();
  }

  /** Waits for `more` further lines. */
  async goesOn(what: string, more = 20): Promise<void> {
    const from = this.last;
    await until(`${what}: the next lines after ${from}`, BACK_WITHIN_MS, () => {
      this.check();
      return this.last >= from + more;
    });
  }
}
