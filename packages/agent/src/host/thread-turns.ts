import { abortable } from "wg-userspace/async/abort";

/** What an operation of the thread pool counts towards. */
export interface Claim {
  readonly client: string;
  /** The file systems that it may wait for. */
  readonly volumes?: readonly string[] | undefined;
}

/** How many operations may run at a time. */
export interface TurnLimits {
  readonly total: number;
  readonly perClient: number;
  readonly perVolume: number;
}

interface Waiter {
  readonly claim: Claim;
  readonly start: () => void;
}

/**
 * Shares out the threads on which operations run. They are few, and an operation on a network mount that hangs holds one for as
 * long as it hangs, even after its client has left. So a file system gets a few, for all clients together: operations on one that hangs
 * wait here, without a thread. And a client gets a few more than a file system, so that what hangs on a file system that is not
 * known blocks only that client.
 */
export class ThreadTurns {
  readonly #limits: TurnLimits;
  readonly #byClient = new Map<string, number>();
  readonly #byVolume = new Map<string, number>();
  /** In order of arrival; each connection waits for one operation at a time. */
  readonly #waiting: Waiter[] = [];
  #taken = 0;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** The number of operations that run now. */
  get running(): number {
    return this.#taken;
  }

  /**
   * Runs the operation when it is its turn. A turn lasts until its operation has ended.
   * @param signal Ends the wait: rejects with its reason, and the operation is not started.
   */
  async run<T>(claim: Claim, operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (!this.#take(claim)) await this.#wait(claim, signal);
    try {
      return await operation();
    } finally {
      this.#leave(claim);
    }
  }

  #wait(claim: Claim, signal: AbortSignal | undefined): Promise<void> {
    return abortable(signal, (start) => {
      const waiter = { claim, start };
      this.#waiting.push(waiter);
      return (isAborted) => {
        if (isAborted) this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      };
    });
  }

  #mayStart({ client, volumes = [] }: Claim): boolean {
    const { total, perClient, perVolume } = this.#limits;
    return (
      this.#taken < total &&
      (this.#byClient.get(client) ?? 0) < perClient &&
      volumes.every((volume) => (this.#byVolume.get(volume) ?? 0) < perVolume)
    );
  }

  /** @returns Whether a turn was left. */
  #take(claim: Claim): boolean {
    if (!this.#mayStart(claim)) return false;
    this.#taken++;
    count(this.#byClient, claim.client, 1);
    for (const volume of claim.volumes ?? []) count(this.#byVolume, volume, 1);
    return true;
  }

  #leave(claim: Claim): void {
    this.#taken--;
    count(this.#byClient, claim.client, -1);
    for (const volume of claim.volumes ?? []) count(this.#byVolume, volume, -1);
    // One that leaves may make room for several, each of which waited for another of the limits.
    for (let i = 0; i < this.#waiting.length && this.#taken < this.#limits.total; ) {
      const waiter = this.#waiting[i]!;
      if (!this.#take(waiter.claim)) i++;
      else {
        this.#waiting.splice(i, 1);
        waiter.start();
      }
    }
  }
}

function count(counts: Map<string, number>, key: string, change: 1 | -1): void {
  const now = (counts.get(key) ?? 0) + change;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
}
