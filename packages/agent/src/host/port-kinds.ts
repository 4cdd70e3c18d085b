import type { ListeningPort } from "./listening-ports.ts";
import { type PortKind, portKind } from "./port-kind.ts";

/** Longest wait for what is not known yet; it is found out in any case, for the next question. */
const WAIT_MS = 1_000;
/** Ports that are looked at for one question. */
const MAX_WANTED = 64;

interface Known {
  readonly listener: string;
  readonly looking: Promise<PortKind | undefined>;
}

/**
 * What the programs at ports speak. A program is connected to only when someone asks about its port, and once: one that serves
 * a single connection, such as `nc -l`, is not ended by a list of ports.
 */
export class PortKinds {
  readonly #known = new Map<number, Known>();
  readonly #look: (port: number) => Promise<PortKind | undefined>;
  readonly #waitMs: number;

  constructor({ look = portKind, waitMs = WAIT_MS }: { look?: typeof portKind; waitMs?: number } = {}) {
    this.#look = look;
    this.#waitMs = waitMs;
  }

  /** Of the wanted ports that are listening, as far as it is known within a second. */
  async of(listening: readonly ListeningPort[], wanted: ReadonlySet<number>): Promise<ReadonlyMap<number, PortKind>> {
    const listeners = new Map(listening.map(({ port, listener }) => [port, listener]));
    for (const [port, { listener }] of this.#known) if (listeners.get(port) !== listener) this.#known.delete(port);
    const kinds = new Map<number, PortKind>();
    const looks = [...wanted].slice(0, MAX_WANTED).flatMap((port) => {
      const listener = listeners.get(port);
      if (listener === undefined) return [];
      return [this.#kindOf(port, listener).then((kind) => kind !== undefined && kinds.set(port, kind))];
    });
    await settledWithin(looks, this.#waitMs);
    return kinds;
  }

  #kindOf(port: number, listener: string): Known["looking"] {
    const known = this.#known.get(port);
    if (known !== undefined) return known.looking;
    const looking = this.#look(port);
    this.#known.set(port, { listener, looking });
    return looking;
  }
}

async function settledWithin(work: readonly Promise<unknown>[], ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const late = setTimeout(resolve, ms);
  await Promise.race([Promise.allSettled(work), promise]);
  clearTimeout(late);
}
