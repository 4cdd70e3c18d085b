import { RELAYED_CONNECTIONS_PER_CLIENT } from "coder-protocol/tunnel-ports";

/**
 * Limits the connections that all forwards of one command hold together. An agent relays only so many for one client and refuses
 * a further one just as it refuses a port on which nothing listens.
 */
export class ForwardPlaces {
  readonly limit: number;
  #taken = 0;
  #reported = false;

  constructor(limit = RELAYED_CONNECTIONS_PER_CLIENT) {
    this.limit = limit;
  }

  /** Returns a function that frees the place; undefined when none is free. */
  take(): (() => void) | undefined {
    if (this.#taken >= this.limit) return undefined;
    this.#taken++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#taken--;
      // The limit is reported each time it is reached, not for every connection beyond it.
      if (this.#taken < this.limit / 2) this.#reported = false;
    };
  }

  /** Reports once that connections are closed because the limit is reached. */
  reportFull(port: number, say: (line: string) => void): void {
    if (this.#reported) return;
    this.#reported = true;
    say(
      `Port ${port}: ${this.limit} connections are open through this command, the most that a workspace accepts from one client; further ones are closed`,
    );
  }
}
