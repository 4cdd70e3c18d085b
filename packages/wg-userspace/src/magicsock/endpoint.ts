import type { Instant } from "../base/instant.ts";
import { addrPortEqual } from "../base/ip.ts";
import type { NodePublicKey } from "../base/keys.ts";
import { type Path, type PathObservation, type RelayPath, relayPath, type UdpPath } from "./path.ts";

/** Most UDP candidates kept for one peer (security statement 23). */
const MAX_UDP_PATHS = 32;

/**
 * Everything known about reaching one peer: its relay region, the UDP paths it may be at, and which of them carries
 * traffic now. Lives below WireGuard, which sees only that messages come and go.
 *
 * Choice today: a UDP path that was configured, or on which authenticated traffic arrived, wins over the relay; among UDP
 * paths the one most recently heard (plain WireGuard roaming). Measured choice by disco replaces `#choose` alone.
 */
export class Endpoint {
  readonly peer: NodePublicKey;
  readonly #udp = new Map<UdpPath, PathObservation>();
  #relay: RelayPath | undefined;
  /** A region where the peer was last heard that is not its home: used while no home is known. */
  #heardAt: RelayPath | undefined;
  #current: Path | undefined;

  constructor(peer: NodePublicKey) {
    this.peer = peer;
  }

  /** The path the next message takes; undefined when the peer cannot be reached at all. */
  get current(): Path | undefined {
    return this.#current;
  }

  get homeRegion(): number | undefined {
    return this.#relay?.regionId;
  }

  paths(): Path[] {
    return this.#relay === undefined ? [...this.#udp.keys()] : [...this.#udp.keys(), this.#relay];
  }

  /** The peer's home relay region, 0 or undefined when it has none. Returns whether the current path changed. */
  setHomeRegion(regionId: number | undefined): boolean {
    if (regionId === undefined || regionId === 0) this.#relay = undefined;
    else if (this.#relay?.regionId !== regionId) this.#relay = relayPath(regionId, this.peer);
    return this.#choose();
  }

  /** Replaces the configured UDP addresses. Paths on which the peer was heard stay. */
  setUdpPaths(configured: readonly UdpPath[]): boolean {
    for (const [path, seen] of this.#udp) {
      const kept = configured.some((other) => addrPortEqual(other.address, path.address));
      if (!kept && seen.lastHeardAt === undefined) this.#udp.delete(path);
    }
    for (const path of configured.slice(0, MAX_UDP_PATHS)) {
      const known = [...this.#udp.keys()].some((other) => addrPortEqual(other.address, path.address));
      if (!known) this.#udp.set(path, { lastHeardAt: undefined });
    }
    return this.#choose();
  }

  /** An authenticated message arrived on `path`. Returns whether the current path changed. */
  heard(path: Path, now: Instant): boolean {
    if (path === this.#current) {
      if (path.kind === "udp") this.#udp.get(path)!.lastHeardAt = now;
      return false;
    }
    if (path.kind === "relay") {
      if (this.#relay !== undefined) return false;
      this.#heardAt = path;
      return this.#choose();
    }
    const seen = this.#udp.get(path);
    if (seen !== undefined) seen.lastHeardAt = now;
    else {
      if (this.#udp.size >= MAX_UDP_PATHS) this.#forgetStalest();
      this.#udp.set(path, { lastHeardAt: now });
    }
    return this.#choose();
  }

  /** The relay says the peer is not connected there: a region learned by hearing is forgotten, the home is kept. */
  relayLost(regionId: number): boolean {
    if (this.#heardAt?.regionId === regionId) this.#heardAt = undefined;
    return this.#choose();
  }

  #choose(): boolean {
    let best: UdpPath | undefined;
    let bestHeard = Number.NEGATIVE_INFINITY;
    for (const [path, seen] of this.#udp) {
      const heard = seen.lastHeardAt ?? Number.NEGATIVE_INFINITY;
      if (best === undefined || heard > bestHeard) {
        best = path;
        bestHeard = heard;
      }
    }
    const next = best ?? this.#relay ?? this.#heardAt;
    if (next === this.#current) return false;
    this.#current = next;
    return true;
  }

  #forgetStalest(): void {
    let stalest: UdpPath | undefined;
    let at = Number.POSITIVE_INFINITY;
    for (const [path, seen] of this.#udp) {
      const heard = seen.lastHeardAt ?? Number.NEGATIVE_INFINITY;
      if (path !== this.#current && heard < at) {
        stalest = path;
        at = heard;
      }
    }
    if (stalest !== undefined) this.#udp.delete(stalest);
  }
}
