/** Directed tunnels between peers. An end may be absent: a tunnel to a peer outlives that peer's connection. */
export class TunnelGraph {
  readonly #from = new Map<string, Set<string>>();
  readonly #to = new Map<string, Set<string>>();

  get count(): number {
    let count = 0;
    for (const destinations of this.#from.values()) count += destinations.size;
    return count;
  }

  /** Destinations of a peer's tunnels. */
  from(id: string): string[] {
    return [...(this.#from.get(id) ?? [])];
  }

  countFrom(id: string): number {
    return this.#from.get(id)?.size ?? 0;
  }

  /** Sources of the tunnels to a peer. */
  to(id: string): string[] {
    return [...(this.#to.get(id) ?? [])];
  }

  /** Peers that share a tunnel with this one, in either direction. */
  partners(id: string): Set<string> {
    return new Set([...(this.#from.get(id) ?? []), ...(this.#to.get(id) ?? [])]);
  }

  areJoined(id: string, other: string): boolean {
    return this.#from.get(id)?.has(other) === true || this.#to.get(id)?.has(other) === true;
  }

  /** Whether a peer that satisfies `isWanted` shares a tunnel with this one. */
  hasPartner(id: string, isWanted: (other: string) => boolean): boolean {
    for (const other of this.#from.get(id) ?? []) if (isWanted(other)) return true;
    for (const other of this.#to.get(id) ?? []) if (isWanted(other)) return true;
    return false;
  }

  add(from: string, to: string): void {
    setOf(this.#from, from).add(to);
    setOf(this.#to, to).add(from);
  }

  /** Returns false if there was no such tunnel. */
  drop(from: string, to: string): boolean {
    dropFrom(this.#to, to, from);
    return dropFrom(this.#from, from, to);
  }
}

function setOf(map: Map<string, Set<string>>, key: string): Set<string> {
  let set = map.get(key);
  if (set === undefined) {
    set = new Set();
    map.set(key, set);
  }
  return set;
}

function dropFrom(map: Map<string, Set<string>>, key: string, value: string): boolean {
  const set = map.get(key);
  if (set?.delete(value) !== true) return false;
  if (set.size === 0) map.delete(key);
  return true;
}
