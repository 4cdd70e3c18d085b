import type { ListeningPort } from "./listening-ports.ts";
import { type PortKind, portKind } from "./port-kind.ts";

/** Longest wait for unknown kinds. The checks continue, so the next query has their results. */
const WAIT_MS = 1_000;
/** Checks at the same time; further ports are left to later queries. */
const MAX_LOOKS = 64;
/** Pause before the next check of a port whose program did not speak HTTP; doubled after each further check. */
const FIRST_PAUSE_MS = 30_000;
const MAX_PAUSE_MS = 15 * 60_000;

interface Look {
  /** Undefined when the program has ended. */
  listener: string | undefined;
  readonly looking: Promise<PortKind | undefined>;
  /** The result, once the check has ended. */
  kind: PortKind | undefined;
  /** Earliest time of the next check; Infinity while this one lasts. */
  nextAt: number;
  /** Pause after this check, unless the program speaks HTTP. */
  readonly pauseMs: number;
}

/**
 * The protocols of the programs at ports. A program is connected to only when its port is queried, and not again once its kind is
 * known. A program that serves a single connection, such as `nc -l` in a loop, is a new listener after every check: the pauses
 * between checks prevent a page that polls every few seconds from ending each of them.
 */
export class PortKinds {
  /** The last check of each port. */
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
    /** Monotonic milliseconds. */
    now?: () => number;
  } = {}) {
    this.#look = look;
    this.#waitMs = waitMs;
    this.#now = now;
  }

  /** The kinds of those wanted ports that are listening, as far as they are known within a second. */
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

  /** For a closed port only the pause is remembered, until the longest possible pause has passed since it ended. */
  #forget(listeners: ReadonlyMap<number, string>): void {
    const now = this.#now();
    for (const [port, look] of this.#looks) {
      if (listeners.has(port)) continue;
      look.listener = undefined;
      if (now >= look.nextAt + MAX_PAUSE_MS) this.#looks.delete(port);
    }
  }

  /** Undefined when the kind is not known and it is too early for a check. */
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
    // A check that fails counts like one that took too long: the kind stays unknown.
    const looking = this.#look(port).then(over, () => over(undefined));
    const look: Look = { listener, looking, kind: undefined, nextAt: Number.POSITIVE_INFINITY, pauseMs };
    this.#looks.set(port, look);
    return looking;
  }
}

/** An HTTP server is not harmed by another connection. */
function speaksHttp(kind: PortKind | undefined): boolean {
  return kind === "http" || kind === "https";
}

async function settledWithin(work: readonly Promise<unknown>[], ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const late = setTimeout(resolve, ms);
  await Promise.race([Promise.allSettled(work), promise]);
  clearTimeout(late);
}
