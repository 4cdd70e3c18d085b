/** Who was at the other end of tunnels to each agent, as this browser keeps it until the login ends. */
import type { FarEnd } from "./messages.ts";

const PREFIX = "far-end:";
/** Above this number, the one that was kept first is forgotten. */
const MAX_KEPT = 1_000;

export interface KnownEnd extends FarEnd {
  /** Unix time in milliseconds at which it was first trusted. */
  readonly since: number;
}

export class KnownEnds {
  readonly #storage: Storage;
  readonly #now: () => number;

  constructor(storage: Storage, now: () => number) {
    this.#storage = storage;
    this.#now = now;
  }

  /** Undefined if there was no tunnel to it yet. */
  of(agentId: string): KnownEnd | undefined {
    return parsed(this.#storage.getItem(PREFIX + agentId));
  }

  /** Throws when the storage is full. */
  trust(agentId: string, { kind, key }: FarEnd): void {
    const kept: KnownEnd = { kind, key, since: this.#now() };
    this.#storage.setItem(PREFIX + agentId, JSON.stringify(kept));
    const names = Array.from({ length: this.#storage.length }, (_, index) => this.#storage.key(index) ?? "");
    const ends = names.filter((name) => name.startsWith(PREFIX));
    if (ends.length <= MAX_KEPT) return;
    const since = (name: string): number => parsed(this.#storage.getItem(name))?.since ?? 0;
    const [oldest] = ends.sort((a, b) => since(a) - since(b));
    this.#storage.removeItem(oldest!);
  }
}

/** An unreadable entry counts as a different end, so that the user has to trust the present one again. */
function parsed(text: string | null): KnownEnd | undefined {
  if (text === null) return undefined;
  const unknown: KnownEnd = { kind: "key", key: "", since: 0 };
  try {
    const { kind, key, since } = (JSON.parse(text) ?? {}) as Partial<KnownEnd>;
    const isKind = kind === "identity" || kind === "key";
    return isKind && typeof key === "string" && typeof since === "number" ? { kind, key, since } : unknown;
  } catch {
    return unknown;
  }
}

export function isSame(a: FarEnd, b: FarEnd): boolean {
  return a.kind === b.kind && a.key === b.key;
}
