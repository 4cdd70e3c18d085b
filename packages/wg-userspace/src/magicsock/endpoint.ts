import type { Instant } from "../base/instant.ts";
import type { NodePublicKey } from "../base/keys.ts";
import { type Path, type RelayPath, relayPath, type UdpPath } from "./path.ts";
import type { PathFinder } from "./path-finder.ts";
import { RoamingPaths } from "./roaming-paths.ts";

/**
 * Everything known about reaching one peer: its relay region and its UDP paths. Lives below WireGuard, which sees only that
 * messages come and go.
 *
 * A peer with a disco key is reached by what its {@link PathFinder} measured, else by relay. A peer without one is a plain
 * WireGuard peer: it is reached where it was configured or last heard.
 */
export class Endpoint {
  readonly peer: NodePublicKey;
  /** Last measured round trip through the relay. */
  relayRttMs: number | undefined;
  #discoId: string | undefined;
  #finder: PathFinder<Endpoint> | undefined;
  readonly #roaming = new RoamingPaths();
  #relay: RelayPath | undefined;
  /** A region other than its home where the peer was last heard; used while no home is known. */
  #heardAt: RelayPath | undefined;
  #current: Path | undefined;
  #copy: UdpPath | undefined;

  constructor(peer: NodePublicKey) {
    this.peer = peer;
  }

  /** The path the next message takes; undefined when the peer cannot be reached at all. */
  get current(): Path | undefined {
    return this.#current;
  }
  /** A second path that gets a copy: WireGuard's replay window drops the one that comes later. */
  get copyTo(): UdpPath | undefined {
    return this.#copy;
  }
  get relay(): RelayPath | undefined {
    return this.#relay ?? this.#heardAt;
  }
  get homeRegion(): number | undefined {
    return this.#relay?.regionId;
  }
  get finder(): PathFinder<Endpoint> | undefined {
    return this.#finder;
  }
  /** Text form of the disco key. */
  get discoId(): string | undefined {
    return this.#discoId;
  }

  /** For {@link Discovery} alone. */
  setFinder(discoId: string | undefined, finder: PathFinder<Endpoint> | undefined): void {
    this.#discoId = discoId;
    this.#finder = finder;
    this.choose();
  }

  /** The peer's home relay region, 0 or undefined when it has none. Returns whether the current path changed. */
  setHomeRegion(regionId: number | undefined): boolean {
    if (regionId === undefined || regionId === 0) this.#relay = undefined;
    else if (this.#relay?.regionId !== regionId) {
      this.#relay = relayPath(regionId, this.peer);
      this.relayRttMs = undefined;
      this.#finder?.relayChanged();
    }
    return this.choose();
  }

  /** Replaces the configured addresses of a plain WireGuard peer. */
  setUdpPaths(configured: readonly UdpPath[]): boolean {
    this.#roaming.configure(configured);
    return this.choose();
  }

  /** An authenticated message arrived on `path`. Returns whether the current path changed. */
  heard(path: Path, now: Instant): boolean {
    // Only a pong moves a measured path; a message that came another way is reason to look.
    if (this.#finder !== undefined && this.#current?.kind === "udp" && path !== this.#current) this.#finder.doubt(now);
    if (path.kind === "udp") return this.#finder === undefined && this.#roaming.heard(path, now) && this.choose();
    if (this.#relay !== undefined || path === this.#heardAt) return false;
    this.#heardAt = path;
    return this.choose();
  }

  /** The relay says the peer is not connected there: a region learned by hearing is forgotten, the home is kept. */
  relayLost(regionId: number): boolean {
    if (this.#heardAt?.regionId === regionId) this.#heardAt = undefined;
    return this.choose();
  }

  /** A message was handed to {@link current}. Called per packet. */
  noteSent(data: boolean, now: Instant): void {
    this.#finder?.noteSent(data, now);
  }

  /** Chooses the current path again. Returns whether it changed. */
  choose(): boolean {
    const finder = this.#finder;
    const direct = finder === undefined ? this.#roaming.current : finder.carrying;
    const next = direct ?? this.relay ?? finder?.trusted ?? finder?.spare;
    this.#copy = next?.kind === "relay" ? finder?.spare : undefined;
    if (next === this.#current) return false;
    this.#current = next;
    return true;
  }
}
