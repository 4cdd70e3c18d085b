/** Two yamux sessions joined in memory, on virtual time, with every byte stream fragmented as the test chooses. */
import { YamuxSession, type YamuxSessionOptions } from "../src/yamux/session.ts";

export interface LinkOptions {
  readonly client?: Partial<YamuxSessionOptions>;
  readonly server?: Partial<YamuxSessionOptions>;
  /** Length of the next piece that is delivered. */
  readonly cut?: () => number;
}

export class Link {
  readonly client: YamuxSession;
  readonly server: YamuxSession;
  now = 1_000;
  #cut: () => number;

  constructor(options: LinkOptions = {}) {
    this.client = new YamuxSession({ role: "client", ...options.client });
    this.server = new YamuxSession({ role: "server", ...options.server });
    this.#cut = options.cut ?? (() => 64 * 1024);
    this.tick(0);
  }

  /** Delivers until neither side has output. */
  run(): void {
    for (let rounds = 0; this.step(); rounds++)
      if (rounds > 1_000_000) throw new Error("the sessions never stop sending");
  }

  /** Delivers one piece in each direction. @returns false when there was none. */
  step(): boolean {
    const toServer = this.client.takeOutput(this.#cut());
    if (toServer !== undefined) this.server.handleBytes(toServer, this.now);
    const toClient = this.server.takeOutput(this.#cut());
    if (toClient !== undefined) this.client.handleBytes(toClient, this.now);
    return toServer !== undefined || toClient !== undefined;
  }

  tick(ms: number): void {
    this.now += ms;
    for (const session of [this.client, this.server]) {
      const at = session.nextTimeout();
      if (at !== undefined && at <= this.now) session.handleTimeout(this.now);
    }
  }

  /** For code that awaits: from now on output is delivered automatically, in a later turn. */
  runAutomatically(): void {
    let scheduled = false;
    const schedule = (): void => {
      if (scheduled) return;
      scheduled = true;
      setImmediate(() => {
        scheduled = false;
        if (this.step()) schedule();
      });
    };
    this.client.onOutput = schedule;
    this.server.onOutput = schedule;
    schedule();
  }

  /** The transport breaks. */
  cutOff(): void {
    this.client.handleEnd();
    this.server.handleEnd();
  }
}

/** Pieces of 1 … `max` bytes from a seed (xorshift), so that a failing cut can be repeated. */
export function seededCut(seed: number, max: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return 1 + ((state >>> 0) % max);
  };
}

export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replace(/\s+/g, ""), "hex"));
}

export function toHex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("hex");
}
