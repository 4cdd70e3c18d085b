import type { Instant } from "../base/instant.ts";
import { addrPortEqual } from "../base/ip.ts";
import type { UdpPath } from "./path.ts";

const MAX_PATHS = 32;

/**
 * The UDP paths of a plain WireGuard peer, which speaks no disco: where it was configured, and where authenticated messages
 * of it came from. The one most recently heard is used, as WireGuard roams.
 */
export class RoamingPaths {
  /** Last authenticated message on each; undefined for a configured one that was never heard. */
  readonly #paths = new Map<UdpPath, Instant | undefined>();
  #current: UdpPath | undefined;

  get current(): UdpPath | undefined {
    return this.#current;
  }

  /** Replaces the configured addresses. Paths on which the peer was heard stay. */
  configure(configured: readonly UdpPath[]): void {
    for (const [path, heardAt] of this.#paths) {
      const kept = configured.some((other) => addrPortEqual(other.address, path.address));
      if (!kept && heardAt === undefined) this.#paths.delete(path);
    }
    for (const path of configured.slice(0, MAX_PATHS)) {
      const known = [...this.#paths.keys()].some((other) => addrPortEqual(other.address, path.address));
      if (!known) this.#paths.set(path, undefined);
    }
    this.#choose();
  }

  /** An authenticated message arrived. Returns whether another path is current now. */
  heard(path: UdpPath, now: Instant): boolean {
    if (path !== this.#current && !this.#paths.has(path) && this.#paths.size >= MAX_PATHS) this.#forgetStalest();
    this.#paths.set(path, now);
    return path !== this.#current && this.#choose();
  }

  #choose(): boolean {
    let best: UdpPath | undefined;
    let bestHeard = Number.NEGATIVE_INFINITY;
    for (const [path, heardAt = Number.NEGATIVE_INFINITY] of this.#paths) {
      if (best !== undefined && heardAt <= bestHeard) continue;
      best = path;
      bestHeard = heardAt;
    }
    const changed = best !== this.#current;
    this.#current = best;
    return changed;
  }

  #forgetStalest(): void {
    let stalest: UdpPath | undefined;
    let at = Number.POSITIVE_INFINITY;
    for (const [path, heardAt = Number.NEGATIVE_INFINITY] of this.#paths) {
      if (path === this.#current || heardAt >= at) continue;
      stalest = path;
      at = heardAt;
    }
    if (stalest !== undefined) this.#paths.delete(stalest);
  }
}
