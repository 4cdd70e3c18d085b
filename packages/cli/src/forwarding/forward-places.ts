import { RELAYED_CONNECTIONS_PER_CLIENT } from "coder-protocol/tunnel-ports";

/**
 * Places for the connections that all forwards of one command hold together: an agent relays so many for one client, and
 * refuses one more as it refuses a port that nothing listens on.
 */
export class ForwardPlaces {
  readonly limit: number;
  #taken = 0;
  #reported = false;

  constructor(limit = RELAYED_CONNECTIONS_PER_CLIENT) {
    this.limit = limit;
  }

  /** Returns the way to give the place back; undefined when there is none. */
  take(): (() => void) | undefined {
    if (this.#taken >= this.limit) return undefined;
    this.#taken++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#taken--;
      // Reported again when it is reached again, not for every connection beyond it.
      if (this.#taken < this.limit / 2) this.#reported = false;
    };
  }

  /** Says once that connections are closed for want of a place. */
  reportFull(port: number, say: (line: string) => void): void {
    if (this.#reported) return;
    this.#reported = true;
    say(
      `Port ${port}: ${this.limit} connections are open through this command, the most that a workspace takes from one client; further ones are closed`,
    );
  }
}
