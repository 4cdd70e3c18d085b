import type { Duplex } from "node:stream";
import type { Instant } from "wg-userspace/base/instant";
import { type CryptoSuite, type Logger, type RandomSource, silentLogger } from "wg-userspace/base/ports";
import { type Region, relayNode } from "wg-userspace/derp/map";
import { MeshLink, type MeshLinkState, type MeshRelay } from "wg-userspace/derp/mesh-link";
import { RelayConnection } from "wg-userspace/io/relay/relay-connection";
import type { RelayDialer } from "wg-userspace/io/relay/relay-dialer";

/** Another server whose relay belongs to the same region. */
export interface Sibling {
  /** Unique; it changes when the server restarts. */
  readonly id: string;
  readonly hostname: string;
  /** `http(s)://host[:port]` of this particular server. */
  readonly relayUrl: string;
}

export interface SiblingStatus extends Sibling {
  readonly state: MeshLinkState;
  /** Clients of the sibling that this relay forwards to. */
  readonly keys: number;
  readonly forwarded: number;
  readonly dropped: number;
  readonly rttMs: number | undefined;
  /** The address at which it was last reached. */
  readonly address: string | undefined;
  /** The reason why there is no link. */
  readonly error: string | undefined;
}

export interface RelayMeshOptions {
  readonly relay: MeshRelay;
  /** The relay's own key, which identifies a member of the mesh. */
  readonly privateKey: Uint8Array;
  readonly meshKey: string;
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  readonly clock: () => Instant;
  readonly dialer: RelayDialer;
  /** The addresses at which siblings are found are recorded here. */
  readonly addresses: SiblingAddresses;
  readonly logger?: Logger;
}

const REGION_ID = 1;
/** With the client's own limit for an answer, a half-open link is detected within 20 s. */
const PING_INTERVAL_MS = 15_000;
/** About 30 ms of a busy link; beyond it data is dropped. */
const MAX_QUEUED_BYTES = 4 << 20;

interface Link {
  readonly sibling: Sibling;
  /** False if the sibling was not in the last update. */
  isListed: boolean;
  readonly mesh: MeshLink;
  readonly connection: RelayConnection;
}

/** Addresses at which siblings were recently reached, for a relay that exempts them from its limits. */
export class SiblingAddresses {
  readonly #byId = new Map<string, string>();

  has(address: string): boolean {
    for (const known of this.#byId.values()) if (known === address) return true;
    return false;
  }

  of(id: string): string | undefined {
    return this.#byId.get(id);
  }

  reached(id: string, address: string | undefined): void {
    if (address !== undefined) this.#byId.set(id, address);
  }

  forget(id: string): void {
    this.#byId.delete(id);
  }
}

/** Connections from this server's relay to the relays of its siblings: one to each, reopened whenever it is lost. */
export class RelayMesh implements AsyncDisposable {
  readonly #options: RelayMeshOptions;
  readonly #logger: Logger;
  readonly #links = new Map<string, Link>();
  readonly #ending = new Set<Promise<void>>();
  #closed = false;

  constructor(options: RelayMeshOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
  }

  /**
   * Sets the siblings that are now in the database. New ones are dialled. A link to one that is no longer listed is kept until it
   * fails, because a server that has lost the database continues to serve its clients; then it is not dialled again.
   */
  update(siblings: Iterable<Sibling>): void {
    if (this.#closed) return;
    for (const link of this.#links.values()) link.isListed = false;
    for (const sibling of siblings) {
      const link = this.#links.get(sibling.id);
      if (link?.sibling.relayUrl === sibling.relayUrl) {
        link.isListed = true;
        continue;
      }
      if (link !== undefined) this.#end(link);
      this.#open(sibling);
    }
    for (const link of [...this.#links.values()]) this.#endUnlessUsed(link);
  }

  status(): readonly SiblingStatus[] {
    return [...this.#links.values()].map(({ sibling, mesh, connection }) => ({
      ...sibling,
      state: mesh.state,
      keys: mesh.keys,
      ...mesh.counts,
      rttMs: connection.latencyMs,
      address: this.#options.addresses.of(sibling.id),
      error: mesh.state === "self" ? "the relay address leads to this server itself" : connection.lastError?.message,
    }));
  }

  /** The siblings that cannot be reached and why, in one line; "" if there is a link to each. */
  problem(): string {
    const failures = this.status().flatMap(({ state, hostname, relayUrl, error }) =>
      state !== "up" && error !== undefined ? [`relay ${hostname} (${relayUrl}): ${error}`] : [],
    );
    return failures.length === 0 ? "" : `Failed to dial peers: ${failures.join("; ")}`;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const link of [...this.#links.values()]) this.#end(link);
    await Promise.all(this.#ending);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #open(sibling: Sibling): void {
    const { relay, privateKey, meshKey, crypto, random, clock } = this.#options;
    const { hostname } = sibling;
    const mesh: MeshLink = new MeshLink({
      relay,
      random,
      send: (source, destination, bytes, offset, length) =>
        connection.forward(source, destination, bytes, offset, length),
    });
    const connection = new RelayConnection({
      region: regionOf(sibling),
      privateKey,
      publicKey: relay.publicKey,
      crypto,
      random,
      clock,
      dial: { connect: (target, options) => this.#dial(sibling.id, target, options) },
      meshKey,
      pingIntervalMs: PING_INTERVAL_MS,
      maxQueuedBytes: MAX_QUEUED_BYTES,
      logger: this.#logger,
      handler: {
        onPacket: () => undefined, // nothing is addressed to a relay
        onReady: (serverKey) => {
          if (mesh.opened(serverKey)) return;
          this.#logger.log("warn", "a relay address of the mesh leads to this server itself", { hostname });
          void connection.close();
        },
        onPong: () => {
          if (mesh.state !== "listing") return;
          mesh.listed();
          this.#logger.log("info", "mesh link up", { hostname, keys: mesh.keys });
        },
        onPeerPresent: (key) => {
          if (!mesh.present(key)) connection.redial();
        },
        onPeerGone: (key) => mesh.gone(key),
        onStateChange: (state, error) => {
          if (state === "ready" || mesh.state === "down") return;
          const { keys } = mesh;
          mesh.lost();
          this.#logger.log("info", "mesh link down", { hostname, keys, why: error?.message ?? "closed" });
          this.#endUnlessUsed(link);
        },
      },
    });
    const link: Link = { sibling, isListed: true, mesh, connection };
    this.#links.set(sibling.id, link);
  }

  #endUnlessUsed(link: Link): void {
    const isCurrent = this.#links.get(link.sibling.id) === link;
    if (isCurrent && !link.isListed && link.mesh.state !== "up" && link.mesh.state !== "listing") this.#end(link);
  }

  #end(link: Link): void {
    this.#links.delete(link.sibling.id);
    this.#options.addresses.forget(link.sibling.id);
    const ended = link.connection.close().then(() => {
      this.#ending.delete(ended);
    });
    this.#ending.add(ended);
  }

  async #dial(id: string, ...dial: Parameters<RelayDialer["connect"]>): Promise<Duplex> {
    const stream = await this.#options.dialer.connect(...dial);
    if (this.#links.has(id))
      this.#options.addresses.reached(id, (stream as { readonly remoteAddress?: string }).remoteAddress);
    return stream;
  }
}

function regionOf({ id, hostname, relayUrl }: Sibling): Region {
  const { hostname: host, port, protocol } = new URL(relayUrl);
  const plain = protocol === "http:";
  const node = relayNode({
    name: id,
    regionId: REGION_ID,
    hostName: host.replace(/^\[|\]$/g, ""),
    derpPort: port === "" ? (plain ? 80 : 443) : Number(port),
    forceHttp: plain,
  });
  return {
    regionId: REGION_ID,
    regionCode: "mesh",
    regionName: hostname,
    embeddedRelay: false,
    avoid: false,
    nodes: [node],
  };
}
