import type { ListeningPort } from "./listening-ports.ts";
import { type PortKind, portKind } from "./port-kind.ts";

/** Longest wait for what is not known yet; it is found out in any case, for the next question. */
const WAIT_MS = 1_000;
/** Looks under way at one time; further ports are left to later questions. */
const MAX_LOOKS = 64;
/** Until a port is looked at again where the program did not speak HTTP; twice as long after each further look. */
const FIRST_PAUSE_MS = 30_000;
const MAX_PAUSE_MS = 15 * 60_000;

interface Look {
  /** Undefined: the program has ended. */
  listener: string | undefined;
  readonly looking: Promise<PortKind | undefined>;
  /** What was found, once the look is over. */
  kind: PortKind | undefined;
  /** The earliest time of the next look; Infinity while this one lasts. */
  nextAt: number;
  /** The pause that follows this look unless the program speaks HTTP. */
  readonly pauseMs: number;
}

/**
 * What the programs at ports speak. A program is connected to only when its port is asked about, and not again once its kind is
 * known. One that serves a single connection, such as `nc -l` in a loop, is another listener after every look: pauses between
 * the looks at one port keep a page that asks every few seconds from ending each of them.
 */
export class PortKinds {
  /** The last look at each port. */
  readonly #looks = new Map<number, Look>();
  readonly #look: (port: number) => Promise<PortKind | undefined>;
  readonly #waitMs: number;
  readonly #now: () => number;
  #running = 0;

  constructor({
    look = (port: number) => portKind(port),
    waitMs = WAIT_MS,
    now = () => performance.now(),
  }: {
    look?: (port: number) => Promise<PortKind | undefined>;
    waitMs?: number;
    /** In milliseconds; never goes back. */
    now?: () => number;
  } = {}) {
    this.#look = look;
    this.#waitMs = waitMs;
    this.#now = now;
  }

  /** Of the wanted ports that are listening, as far as it is known within a second. */
  async of(listening: readonly ListeningPort[], wanted: ReadonlySet<number>): Promise<ReadonlyMap<number, PortKind>> {
    const listeners = new Map(listening.map(({ port, listener }) => [port, listener]));
    this.#forget(listeners);
    const kinds = new Map<number, PortKind>();
    const looks = [...wanted].flatMap((port) => {
      const listener = listeners.get(port);
      const looking = listener === undefined ? undefined : this.#lookAt(port, listener);
      return looking === undefined ? [] : [looking.then((kind) => kind !== undefined && kinds.set(port, kind))];
    });
    await settledWithin(looks, this.#waitMs);
    return kinds;
  }

  /** Of a port that is closed the pause alone stays, until it has been over for as long as the longest one. */
  #forget(listeners: ReadonlyMap<number, string>): void {
    const now = this.#now();
    for (const [port, look] of this.#looks) {
      if (listeners.has(port)) continue;
      look.listener = undefined;
      if (now >= look.nextAt + MAX_PAUSE_MS) this.#looks.delete(port);
    }
  }

  /** Undefined: the kind is not known, and it is too early for a look. */
  #lookAt(port: number, listener: string): Promise<PortKind | undefined> | undefined {
    const last = this.#looks.get(port);
    const isCurrent = last?.listener === listener;
    if (last !== undefined && isCurrent && last.kind !== undefined) return last.looking;
    if (last !== undefined && this.#now() < last.nextAt) return isCurrent ? last.looking : undefined;
    if (this.#running >= MAX_LOOKS) return undefined;
    const pauseMs = last === undefined || speaksHttp(last.kind) ? FIRST_PAUSE_MS : 2 * last.pauseMs;
    return this.#begin(port, listener, Math.min(pauseMs, MAX_PAUSE_MS));
  }

  #begin(port: number, listener: string, pauseMs: number): Promise<PortKind | undefined> {
    this.#running++;
    const over = (kind: PortKind | undefined): PortKind | undefined => {
      this.#running--;
      look.kind = kind;
      look.nextAt = this.#now() + (speaksHttp(kind) ? 0 : pauseMs);
      return kind;
    };
    // A look that fails found nothing out, as one that took too long.
    const looking = this.#look(port).then(over, () => over(undefined));
    const look: Look = { listener, looking, kind: undefined, nextAt: Number.POSITIVE_INFINITY, pauseMs };
    this.#looks.set(port, look);
    return looking;
  }
}

/** A server of HTTP serves one connection more without harm. */
function speaksHttp(kind: PortKind | undefined): boolean {
  return kind === "http" || kind === "https";
}

async function settledWithin(work: readonly Promise<unknown>[], ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const late = setTimeout(resolve, ms);
  await Promise.race([Promise.allSettled(work), promise]);
  clearTimeout(late);
}
