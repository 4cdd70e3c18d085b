/**
 * Records which copy a part file belongs to. Two copies to one destination may meet at one part: the later one takes it for a
 * leftover and resumes it. It claims the part by changing its permissions, which the earlier copy notices at its next check; SFTP
 * has neither locks nor inode numbers.
 */
import type { FileFacts, PartFile } from "./file-system.ts";
import { handled } from "./handled.ts";

const OWNER_MAY_WRITE = 0o600;
const CHECK_MS = 500;
/** Nothing is written unless the last check is more recent than this. */
const UNCHECKED_MS = 1_500;

export class PartClaim {
  readonly #part: PartFile;
  readonly #now: () => number;
  readonly #mark: Promise<number>;
  #checkedAt: number;
  #checking: Promise<void> | undefined;
  #lost = false;

  /** Claims a part that this copy created. */
  static created(part: PartFile, now: () => number): PartClaim {
    const asked = part.facts().then(({ mode }) => mode);
    return new PartClaim(part, now, asked);
  }

  /**
   * Takes over an existing part; its earlier owner loses it. Rejects where its permissions may not be changed. Where a change has
   * no effect, a loss is not detected.
   */
  static async takeOver(part: PartFile, now: () => number): Promise<{ claim: PartClaim; facts: FileFacts }> {
    const { mode } = await part.facts();
    await part.chmod(nextMark(mode));
    const facts = await part.facts();
    return { claim: new PartClaim(part, now, Promise.resolve(facts.mode)), facts };
  }

  private constructor(part: PartFile, now: () => number, mark: Promise<number>) {
    this.#part = part;
    this.#now = now;
    this.#mark = handled(mark);
    this.#checkedAt = now();
  }

  /** Another copy has the part: this one must not write, rename or remove it. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Call before each write. Waits only when the last check is too old. Rejects when the part is lost. */
  async hold(): Promise<void> {
    const silence = this.#now() - this.#checkedAt;
    if (silence < CHECK_MS) return;
    const checking = this.check();
    if (silence >= UNCHECKED_MS) await checking;
  }

  /** Call after the last write. Rejects when the part is lost. */
  async lastCheck(): Promise<void> {
    await this.#checking;
    await this.check();
  }

  check(): Promise<void> {
    if (this.#checking !== undefined) return this.#checking;
    const checking = this.#check(this.#now());
    // A failure stays: later calls reject with it.
    checking.then(
      () => {
        this.#checking = undefined;
      },
      () => {
        this.#checkedAt = Number.NEGATIVE_INFINITY;
      },
    );
    this.#checking = checking;
    return checking;
  }

  async #check(askedAt: number): Promise<void> {
    const asked = this.#part.facts();
    const [mark, { mode }] = await Promise.all([this.#mark, asked]);
    if (mode !== mark) {
      this.#lost = true;
      throw new Error("another copy to the same destination took over its part file");
    }
    this.#checkedAt = askedAt;
  }
}

/** A mode that differs from `mode` in the execute bits, which mean nothing while only the owner may read the file. */
function nextMark(mode: number): number {
  const bits = ((mode & 0o100) >> 4) | ((mode & 0o010) >> 2) | (mode & 0o001);
  const next = bits + 1;
  return OWNER_MAY_WRITE | ((next & 4) << 4) | ((next & 2) << 2) | (next & 1);
}
