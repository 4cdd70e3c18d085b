/** A command that counts without end, and the reader that detects every gap in it. */
import { until } from "./deadline.ts";
import type { Session } from "./deployment.ts";

/** A line every 50 ms: a gap is seen to within that. */
export const COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";
/** Generous: a healthy build needs a tenth of it. */
export const BACK_WITHIN_MS = 20_000;

/** Reads the numbers of `COUNT` and throws at the first that is not its predecessor's successor. */
export class Counter {
  last = 0;
  /** Longest silence since `markGap`, also the one that goes on. */
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

  /** Lines still come: `more` of them. */
  async goesOn(what: string, more = 20): Promise<void> {
    const from = this.last;
    await until(`${what}: the next lines after ${from}`, BACK_WITHIN_MS, () => {
      this.check();
      return this.last >= from + more;
    });
  }
}
