/** WebSocket connections to relays, one per region, which are redialled when they end. */

import { type Instant, instant } from "wg-userspace/base/instant";
import type { NodePrivateKey, NodePublicKey } from "wg-userspace/base/keys";
import { browserCrypto, browserRandom } from "wg-userspace/browser/crypto";
import { DerpClient } from "wg-userspace/derp/client";
import type { DerpMap, Region } from "wg-userspace/derp/map";
import { keepConnected } from "./keep-connected.ts";
import { type BytePipe, openPipe } from "./web-socket.ts";

const DRAIN_CHECK_MS = 10;
/** Several packets share one message up to this size: Tailscale's relays close a connection on a message above 32 KiB. */
const MAX_MESSAGE_BYTES = 32 * 1024;

export interface RelaysHandler {
  onPacket(regionId: number, source: Uint8Array, bytes: Uint8Array, offset: number, length: number): void;
  /** Called after the packets of one message. */
  onBatchEnd(): void;
  onPeerGone(regionId: number, peer: Uint8Array): void;
  onReady(regionId: number): void;
  onLost(regionId: number, reason: string): void;
  onDrain(): void;
}

export interface RelaysOptions {
  readonly privateKey: NodePrivateKey;
  readonly publicKey: NodePublicKey;
  readonly handler: RelaysHandler;
}

/** The page's clock, in the engine's unit. */
export function now(): Instant {
  return instant(performance.now());
}

export class Relays {
  readonly #options: RelaysOptions;
  readonly #relays = new Map<number, Relay>();
  readonly #stop = new AbortController();
  #map: DerpMap | undefined;

  constructor(options: RelaysOptions) {
    this.#options = options;
  }

  setMap(map: DerpMap): void {
    this.#map = map;
  }

  /** Connects to the region's relay and stays connected. */
  use(regionId: number): Relay | undefined {
    const known = this.#relays.get(regionId);
    if (known !== undefined) return known;
    const region = this.#map?.regions.get(regionId);
    if (region === undefined) return undefined;
    const relay = new Relay(region, this.#options, this.#stop.signal);
    this.#relays.set(regionId, relay);
    return relay;
  }

  isCongested(regionId: number): boolean {
    return this.#relays.get(regionId)?.congested ?? false;
  }

  /** False when the packet was dropped; the layers above send it again. */
  send(regionId: number, destination: Uint8Array, bytes: Uint8Array, offset: number, length: number): boolean {
    return this.use(regionId)?.send(destination, bytes, offset, length) ?? false;
  }

  /** Reconnects, since a load balancer may lead to another server. */
  redial(regionId: number): void {
    this.#relays.get(regionId)?.close("the relay does not reach a peer of its region");
  }

  close(): void {
    this.#stop.abort();
    for (const relay of this.#relays.values()) relay.close();
  }
}

class Relay {
  readonly #region: Region;
  readonly #options: RelaysOptions;
  #client: DerpClient | undefined;
  #pipe: BytePipe | undefined;
  #flushing = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #end: (reason: string) => void = () => undefined;

  constructor(region: Region, options: RelaysOptions, signal: AbortSignal) {
    this.#region = region;
    this.#options = options;
    const onLost = (reason: string): void => options.handler.onLost(region.regionId, reason);
    void keepConnected({ connect: (onOpened) => this.#connectOnce(signal, onOpened), onLost, limitMs: 5_000, signal });
  }

  get congested(): boolean {
    return this.#pipe?.writable === false;
  }

  send(destination: Uint8Array, bytes: Uint8Array, offset: number, length: number): boolean {
    const sent = this.#client?.sendPacket(destination, bytes, offset, length, now()) ?? false;
    if (sent && !this.#flushing) {
      this.#flushing = true;
      queueMicrotask(() => {
        this.#flushing = false;
        this.#flush();
      });
    }
    return sent;
  }

  close(reason = "closed"): void {
    this.#end(reason);
  }

  /** Returns the reason why the connection ended. */
  async #connectOnce(signal: AbortSignal, onOpened: () => void): Promise<string> {
    const { privateKey, publicKey, handler } = this.#options;
    const { regionId } = this.#region;
    const start = await openPipe(relayUrl(this.#region), ["derp"], signal);
    const { promise: ended, resolve: end } = Promise.withResolvers<string>();
    this.#end = end;
    const client = new DerpClient(
      {
        privateKey,
        publicKey,
        crypto: browserCrypto,
        random: browserRandom,
        handler: {
          onReady: () => {
            onOpened();
            client.notePreferred(true);
            handler.onReady(regionId);
          },
          onPacket: (source, bytes, offset, length) => handler.onPacket(regionId, source, bytes, offset, length),
          onPeerGone: (peer) => handler.onPeerGone(regionId, peer),
          onClosed: end,
        },
      },
      now(),
    );
    this.#client = client;
    this.#pipe = start({
      onBytes: (bytes) => {
        client.handleBytes(bytes, now());
        handler.onBatchEnd();
        this.#flush();
      },
      onClosed: end,
    });
    this.#flush();
    const reason = await ended;
    clearTimeout(this.#timer);
    this.#pipe.close();
    this.#pipe = this.#client = undefined;
    client.close();
    return reason;
  }

  #flush(): void {
    const [client, pipe] = [this.#client, this.#pipe];
    if (client === undefined || pipe === undefined) return;
    while (pipe.writable) {
      const chunk = client.takeOutput();
      if (chunk === undefined) break;
      for (let at = 0; at < chunk.length; at += MAX_MESSAGE_BYTES)
        pipe.send(chunk.subarray(at, at + MAX_MESSAGE_BYTES));
      client.recycle(chunk);
    }
    clearTimeout(this.#timer);
    if (!pipe.writable) {
      // Browsers do not report when a WebSocket can take more data.
      this.#timer = setTimeout(() => {
        this.#flush();
        if (pipe.writable) this.#options.handler.onDrain();
      }, DRAIN_CHECK_MS);
      return;
    }
    const at = client.nextTimeout();
    if (at === undefined) return;
    this.#timer = setTimeout(
      () => {
        client.handleTimeout(now());
        this.#flush();
      },
      Math.max(1, at - now()),
    );
  }
}

/** The first node of a region that relays. On an HTTPS page the browser requires TLS. */
function relayUrl(region: Region): URL {
  const node = region.nodes.find(({ stunOnly }) => !stunOnly);
  if (node === undefined) throw new Error(`relay region ${region.regionId} has no relay`);
  const plain = node.forceHttp;
  const port = node.derpPort === 0 ? (plain ? 80 : 443) : node.derpPort;
  const host = node.hostName.includes(":") ? `[${node.hostName}]` : node.hostName;
  return new URL(`${plain ? "http" : "https"}://${host}:${port}/derp`);
}
