import { bytesEqual, hexEncode } from "../base/bytes.ts";
import type { Drops } from "../base/errors.ts";
import type { Instant } from "../base/instant.ts";
import { type AddrPort, addrPortEqual } from "../base/ip.ts";
import { type DiscoPrivateKey, type DiscoPublicKey, discoPublicKey, keyId, type NodePublicKey } from "../base/keys.ts";
import type { CryptoSuite, RandomSource } from "../base/ports.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import { DISCO_NONCE_BYTES, discoSender, openDisco, sealDisco } from "../disco/box.ts";
import {
  DISCO_PADDED_BYTES,
  DISCO_TX_ID_BYTES,
  type DiscoMessage,
  encodeCallMeMaybe,
  encodePing,
  encodePong,
  parseDiscoMessage,
  relayPseudoAddress,
} from "../disco/message.ts";
import type { Candidate } from "./candidate.ts";
import type { Endpoint } from "./endpoint.ts";
import { type Path, type UdpPath, udpPath } from "./path.ts";
import { PathFinder, type Prober } from "./path-finder.ts";
import { ProbeBudget } from "./probe-budget.ts";

const PING_TIMEOUT_MS = 5_000;
/** An address that answered this recently may be probed without limit. */
const PROVEN_MS = 30_000;
/** Own endpoints named to a peer; the peer would keep no more. */
const MAX_OWN_ENDPOINTS = 32;
/** Guessed endpoints named in one CallMeMaybe; the next one names those that follow. */
const GUESSES_PER_CALL = 20;
/** Pings waiting for their pong, of all peers; the oldest is forgotten first. */
const MAX_PENDING_PINGS = 4_096;
/** Boxes opened per second for senders that are not in use as a path: opening costs tens of microseconds. */
const UNUSED_PATH_OPENS_PER_SECOND = 500;

export interface DiscoveryConfig {
  readonly privateKey: DiscoPrivateKey;
  readonly nodeKey: NodePublicKey;
  /** Direct paths are forbidden: everything goes by relay, disco over UDP is ignored. */
  readonly blockDirect: boolean;
  readonly maxMtu: number;
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
}

export interface DiscoveryOutput {
  /** Sends a disco packet by UDP; borrowed. `ttl`: hop limit of this one packet, undefined for the default. */
  sendProbe(to: UdpPath, packet: Uint8Array, ttl: number | undefined): void;
  /** Sends a disco packet through the peer's relay; false when the peer has none. Borrowed. */
  sendByRelay(endpoint: Endpoint, packet: Uint8Array): boolean;
  /** See {@link Prober.stuck}. */
  stuck(endpoint: Endpoint): void;
  /** See {@link Prober.suspected}. */
  suspected(endpoint: Endpoint): void;
  /** The choice of an endpoint's finder changed. See {@link Prober.pathChanged}. */
  pathChanged(endpoint: Endpoint, chosen: boolean): void;
}

/** The first answer to a ping that the user requested. */
export interface PongResult {
  readonly rttMs: number;
  readonly path: Path;
}

interface PendingPing {
  readonly sentAt: Instant;
  readonly endpoint: Endpoint;
  /** Undefined if the ping went by relay. */
  readonly candidate: Candidate | undefined;
  readonly payloadBytes: number;
  readonly sample: boolean;
  readonly onPong: ((result: PongResult) => void) | undefined;
}

/** Endpoints that use one disco key, and the secret shared with it. Several nodes of one process could share a key. */
interface DiscoPeer {
  readonly key: DiscoPublicKey;
  readonly boxKey: Uint8Array;
  readonly endpoints: Set<Endpoint>;
}

/**
 * The disco layer of one node: seals and opens its messages, answers pings, matches pongs, and runs the {@link PathFinder}s
 * of all peers. Nothing here trusts an address: only what opens under the key of a known peer has any effect (security
 * statement 28).
 */
export class Discovery implements Prober<Endpoint> {
  readonly publicKey: DiscoPublicKey;
  readonly #config: DiscoveryConfig;
  readonly #output: DiscoveryOutput;
  readonly #drops: Drops;
  readonly #peers = new Map<string, DiscoPeer>();
  readonly #finders = new Set<PathFinder<Endpoint>>();
  readonly #pending = new Map<string, PendingPing>();
  readonly #budget = new ProbeBudget();
  #ownEndpoints: readonly AddrPort[] = [];
  #guesses: readonly AddrPort[] = [];
  #nextGuess = 0;
  #wakeAt = Number.POSITIVE_INFINITY;
  /** The reason for {@link #wakeAt} may be gone by now. */
  #mayBeEarly = false;
  readonly #unusedPathOpens = new TokenBucket(UNUSED_PATH_OPENS_PER_SECOND, UNUSED_PATH_OPENS_PER_SECOND);
  #now: Instant;

  constructor(config: DiscoveryConfig, output: DiscoveryOutput, drops: Drops, now: Instant) {
    this.#config = config;
    this.#output = output;
    this.#drops = drops;
    this.#now = now;
    this.publicKey = discoPublicKey(config.crypto.publicKey(config.privateKey));
  }

  get blockDirect(): boolean {
    return this.#config.blockDirect;
  }
  /** Pings that wait for their pong. */
  get pendingPings(): number {
    return this.#pending.size;
  }
  get ownEndpoints(): readonly AddrPort[] {
    return this.#ownEndpoints;
  }

  /**
   * Our own endpoints. Peers to which a search is under way are sent them at once.
   * @param guesses Endpoints that a hard NAT may use for the next peer; named a few at a time while a search continues.
   */
  setOwnEndpoints(endpoints: readonly AddrPort[], guesses: readonly AddrPort[], now: Instant): void {
    this.#now = now;
    this.#ownEndpoints = this.#config.blockDirect ? [] : endpoints.slice(0, MAX_OWN_ENDPOINTS);
    this.#guesses = this.#config.blockDirect ? [] : guesses;
    this.#nextGuess = 0;
    this.#callAgain();
  }

  /** A relay is connected again: CallMeMaybes sent in the meantime may be lost. */
  relayReady(now: Instant): void {
    this.#now = now;
    this.#callAgain();
  }

  #callAgain(): void {
    for (const finder of this.#finders)
      if (finder.attempts > 0 && finder.trusted === undefined) this.callMeMaybe(finder);
  }

  /**
   * Gives an endpoint its disco key and the addresses that the coordinator names; a key that differs from the one
   * before means a new process, of which nothing is known yet. False for a key that cannot be used (its shared secret
   * is zero).
   */
  setPeer(endpoint: Endpoint, key: DiscoPublicKey, addresses: readonly AddrPort[], now: Instant): boolean {
    this.#now = now;
    const id = keyId(key);
    if (endpoint.discoId !== id) {
      this.removePeer(endpoint);
      const peer = this.#peers.get(id) ?? this.#newPeer(key);
      if (peer === undefined) return false;
      this.#peers.set(id, peer);
      peer.endpoints.add(endpoint);
      const turn = keyId(this.#config.nodeKey) < keyId(endpoint.peer) ? "earlier" : "later";
      const finder = new PathFinder(endpoint, this.#config.maxMtu, turn, this);
      this.#finders.add(finder);
      endpoint.setFinder(id, finder);
    }
    if (!this.#config.blockDirect) endpoint.finder!.setCoordinatorEndpoints(addresses.map(udpPath), now);
    return true;
  }

  removePeer(endpoint: Endpoint): void {
    if (endpoint.discoId === undefined) return;
    const peer = this.#peers.get(endpoint.discoId);
    peer?.endpoints.delete(endpoint);
    if (peer?.endpoints.size === 0) this.#peers.delete(endpoint.discoId);
    this.#finders.delete(endpoint.finder!);
    endpoint.setFinder(undefined, undefined);
    for (const [id, ping] of this.#pending) if (ping.endpoint === endpoint) this.#pending.delete(id);
  }

  /** A datagram that looks like disco; borrowed. */
  handleDatagram(from: UdpPath, packet: Uint8Array, now: Instant): void {
    this.#now = now;
    if (this.#config.blockDirect) return;
    const peer = this.#peers.get(keyId(discoSender(packet)));
    if (peer === undefined) {
      this.#drops.count("unknown-peer");
      return;
    }
    if (!this.#inUse(peer, from) && !this.#unusedPathOpens.take(now)) {
      this.#drops.count("rate-limited");
      return;
    }
    const message = this.#open(peer, packet);
    if (message === undefined) return;
    if (message.kind === "ping") this.#pingByUdp(peer, message, packet.length, from);
    else if (message.kind === "pong") this.#pong(peer, message.txId, from);
    // A CallMeMaybe counts only when it came by relay.
  }

  /** A disco packet that a relay delivered from the node of `endpoint`; borrowed. */
  handleRelayPacket(endpoint: Endpoint, from: Path, regionId: number, packet: Uint8Array, now: Instant): void {
    this.#now = now;
    const peer = this.#peers.get(keyId(discoSender(packet)));
    if (peer === undefined || !peer.endpoints.has(endpoint)) {
      this.#drops.count("unknown-peer");
      return;
    }
    const message = this.#open(peer, packet);
    if (message === undefined) return;
    if (message.kind === "ping") {
      const pong = encodePong(message.txId, relayPseudoAddress(regionId), packet.length);
      this.#output.sendByRelay(endpoint, this.#seal(peer, pong));
    } else if (message.kind === "pong") this.#pong(peer, message.txId, from);
    else if (!this.#config.blockDirect) endpoint.finder!.calledBy(message.endpoints.map(udpPath), now);
  }

  /**
   * Pings a peer for the user: through its relay, and by UDP on the path in use or else on all candidates. The first pong is
   * reported; if none arrives within 5 s, nothing is reported.
   * @returns whether anything could be sent.
   */
  ping(endpoint: Endpoint, onPong: (result: PongResult) => void, now: Instant): boolean {
    this.#now = now;
    const peer = endpoint.discoId === undefined ? undefined : this.#peers.get(endpoint.discoId);
    if (peer === undefined) return false;
    let answered = false;
    const first = (result: PongResult): void => {
      if (!answered) onPong(result);
      answered = true;
    };
    const finder = endpoint.finder!;
    const targets = finder.trusted === undefined ? finder.candidates : [finder.best!];
    let sent = false;
    for (const candidate of this.#config.blockDirect ? [] : targets) {
      if (!this.#budget.take(candidate.path.address.address, now)) continue;
      candidate.pingsSent++;
      this.#sendPing(peer, endpoint, candidate, DISCO_PADDED_BYTES, undefined, finder.trusted !== undefined, first);
      sent = true;
    }
    return this.pingByRelay(endpoint, first, now) || sent;
  }

  /**
   * Pings a peer on the direct path in use, or where it answered last, and there only; on the path in use the outcome counts for
   * its loss figure. So a path that is left alone can be measured without being used again.
   * @returns the candidate pinged; undefined when none answered lately.
   */
  pingDirect(endpoint: Endpoint, onPong: (result: PongResult) => void, now: Instant): Candidate | undefined {
    this.#now = now;
    const peer = endpoint.discoId === undefined ? undefined : this.#peers.get(endpoint.discoId);
    const best = endpoint.finder?.best;
    const target = best ?? endpoint.finder?.lastAnswered(now);
    if (peer === undefined || target === undefined || this.#config.blockDirect) return undefined;
    target.pingsSent++;
    this.#sendPing(peer, endpoint, target, DISCO_PADDED_BYTES, undefined, target === best, onPong);
    return target;
  }

  /** Pings a peer through its relay only. */
  pingByRelay(endpoint: Endpoint, onPong: ((result: PongResult) => void) | undefined, now: Instant): boolean {
    this.#now = now;
    const peer = endpoint.discoId === undefined ? undefined : this.#peers.get(endpoint.discoId);
    if (peer === undefined) return false;
    const txId = this.#remember(endpoint, undefined, DISCO_PADDED_BYTES, false, onPong);
    const plaintext = encodePing(txId, this.#config.nodeKey, 0);
    return this.#output.sendByRelay(endpoint, this.#seal(peer, plaintext));
  }

  /** @param moved See {@link PathFinder.networkChanged}. */
  networkChanged(moved: boolean, now: Instant): void {
    this.#now = now;
    for (const finder of this.#finders) finder.networkChanged(moved, now);
  }

  portChanged(now: Instant): void {
    this.#now = now;
    for (const finder of this.#finders) finder.portChanged(now);
  }

  /** @param exact See {@link Engine.nextTimeout}. */
  nextTimeout(exact = false): Instant | undefined {
    if (exact && this.#mayBeEarly) this.#findNext();
    return this.#wakeAt === Number.POSITIVE_INFINITY ? undefined : (this.#wakeAt as Instant);
  }

  handleTimeout(now: Instant): void {
    this.#now = now;
    if (now < this.#wakeAt) return;
    this.#forgetLostPings(now);
    for (const finder of this.#finders) if (finder.deadline <= now) finder.handleTimeout(now);
    this.#findNext();
  }

  /** The deadlines that the finders announced are out of date: asks each finder for its present one. */
  #findNext(): void {
    let next = Number.POSITIVE_INFINITY;
    for (const finder of this.#finders) next = Math.min(next, finder.deadline);
    for (const { sentAt } of this.#pending.values()) {
      next = Math.min(next, sentAt + PING_TIMEOUT_MS);
      break; // insertion order is time order
    }
    this.#wakeAt = next;
    this.#mayBeEarly = false;
  }

  /** {@link Prober} */
  probe(
    finder: PathFinder<Endpoint>,
    candidate: Candidate,
    payloadBytes: number | undefined,
    ttl: number | undefined,
    sample: boolean,
  ): boolean {
    const endpoint = finder.owner;
    const peer = this.#peers.get(endpoint.discoId!);
    if (peer === undefined) return false;
    // An address that answered cannot be a reflection target.
    const proven = candidate.lastPongAt !== undefined && this.#now - candidate.lastPongAt < PROVEN_MS;
    if (!proven && !this.#budget.take(candidate.path.address.address, this.#now)) return false;
    this.#sendPing(peer, endpoint, candidate, payloadBytes, ttl, sample, undefined);
    return true;
  }

  /** {@link Prober} */
  pingRelay(finder: PathFinder<Endpoint>): boolean {
    return this.pingByRelay(finder.owner, undefined, this.#now);
  }

  /** {@link Prober} */
  callMeMaybe(finder: PathFinder<Endpoint>): void {
    const endpoint = finder.owner;
    const peer = this.#peers.get(endpoint.discoId!);
    if (peer === undefined || this.#config.blockDirect || this.#ownEndpoints.length === 0) return;
    const guesses = this.#someGuesses();
    const named = [...this.#ownEndpoints.slice(0, MAX_OWN_ENDPOINTS - guesses.length), ...guesses];
    this.#output.sendByRelay(endpoint, this.#seal(peer, encodeCallMeMaybe(named)));
  }

  #someGuesses(): AddrPort[] {
    const some = this.#guesses.slice(this.#nextGuess, this.#nextGuess + GUESSES_PER_CALL);
    this.#nextGuess =
      this.#nextGuess + GUESSES_PER_CALL >= this.#guesses.length ? 0 : this.#nextGuess + GUESSES_PER_CALL;
    return some;
  }

  /** {@link Prober} */
  wakeAt(at: number): void {
    if (at < this.#wakeAt) this.#wakeAt = at;
    else this.#mayBeEarly = true;
  }

  /** {@link Prober} */
  stuck(finder: PathFinder<Endpoint>): void {
    this.#output.stuck(finder.owner);
  }

  /** {@link Prober} */
  suspected(finder: PathFinder<Endpoint>): void {
    this.#output.suspected(finder.owner);
  }

  /** {@link Prober} */
  pathChanged(finder: PathFinder<Endpoint>, chosen: boolean): void {
    this.#output.pathChanged(finder.owner, chosen);
  }

  #newPeer(key: DiscoPublicKey): DiscoPeer | undefined {
    const boxKey = this.#config.crypto.boxKey(this.#config.privateKey, key);
    return boxKey === undefined ? undefined : { key, boxKey, endpoints: new Set() };
  }

  #pingByUdp(peer: DiscoPeer, ping: DiscoMessage & { kind: "ping" }, bytes: number, from: UdpPath): void {
    const endpoint = senderOf(peer, ping.nodeKey);
    if (endpoint === undefined) {
      this.#drops.count("unknown-peer");
      return;
    }
    this.#output.sendProbe(from, this.#seal(peer, encodePong(ping.txId, from.address, bytes)), undefined);
    endpoint.finder!.pingReceived(from, this.#now);
  }

  #pong(peer: DiscoPeer, txId: Uint8Array, from: Path): void {
    const id = hexEncode(txId);
    const ping = this.#pending.get(id);
    if (ping === undefined || !peer.endpoints.has(ping.endpoint)) {
      this.#drops.count("out-of-window");
      return;
    }
    this.#pending.delete(id);
    this.#mayBeEarly = true;
    const rttMs = this.#now - ping.sentAt;
    if (ping.candidate !== undefined && from.kind === "udp") {
      this.#sameObject(ping.endpoint, ping.candidate, from);
      ping.endpoint.finder!.pongReceived(ping.candidate, rttMs, ping.payloadBytes, ping.sample, this.#now);
      ping.onPong?.({ rttMs, path: ping.candidate.path });
    } else if (ping.candidate === undefined && from.kind === "relay") {
      ping.endpoint.relayRttMs = rttMs;
      ping.endpoint.finder!.relayPong(rttMs, this.#now);
      ping.onPong?.({ rttMs, path: from });
    }
  }

  /**
   * A candidate that was only named has a path object of its own. From the first pong on it takes the object that arriving
   * messages carry; otherwise every message on the path in use would look as if it came another way.
   */
  #sameObject(endpoint: Endpoint, candidate: Candidate, from: UdpPath): void {
    if (candidate.path === from || !addrPortEqual(candidate.path.address, from.address)) return;
    candidate.path = from;
    endpoint.choose();
  }

  #sendPing(
    peer: DiscoPeer,
    endpoint: Endpoint,
    candidate: Candidate,
    payloadBytes: number | undefined,
    ttl: number | undefined,
    sample: boolean,
    onPong: ((result: PongResult) => void) | undefined,
  ): void {
    const txId = this.#remember(endpoint, candidate, payloadBytes ?? 0, sample, onPong);
    const packet = this.#seal(peer, encodePing(txId, this.#config.nodeKey, payloadBytes ?? 0));
    this.#output.sendProbe(candidate.path, packet, ttl);
  }

  #remember(
    endpoint: Endpoint,
    candidate: Candidate | undefined,
    payloadBytes: number,
    sample: boolean,
    onPong: ((result: PongResult) => void) | undefined,
  ): Uint8Array {
    const txId = this.#config.random.bytes(DISCO_TX_ID_BYTES);
    if (this.#pending.size >= MAX_PENDING_PINGS)
      for (const oldest of this.#pending.keys()) {
        this.#pending.delete(oldest);
        break;
      }
    this.#pending.set(hexEncode(txId), { sentAt: this.#now, endpoint, candidate, payloadBytes, sample, onPong });
    this.wakeAt(this.#now + PING_TIMEOUT_MS);
    return txId;
  }

  #forgetLostPings(now: Instant): void {
    for (const [id, ping] of this.#pending) {
      // Compared in the way the deadline was computed: the difference of the two times may be a rounding error smaller.
      if (now < ping.sentAt + PING_TIMEOUT_MS) break; // insertion order is time order
      this.#pending.delete(id);
      if (ping.sample && ping.candidate !== undefined)
        ping.endpoint.finder?.sampleLost(ping.candidate, ping.payloadBytes, ping.sentAt);
    }
  }

  #seal(peer: DiscoPeer, plaintext: Uint8Array): Uint8Array {
    const { crypto, random } = this.#config;
    return sealDisco(crypto, this.publicKey, peer.boxKey, random.bytes(DISCO_NONCE_BYTES), plaintext);
  }

  #open(peer: DiscoPeer, packet: Uint8Array): DiscoMessage | undefined {
    const plaintext = openDisco(this.#config.crypto, peer.boxKey, packet);
    if (plaintext === undefined) {
      this.#drops.count("bad-tag");
      return undefined;
    }
    const message = parseDiscoMessage(plaintext);
    if (message === undefined) this.#drops.count("unknown-type");
    return message;
  }

  #inUse(peer: DiscoPeer, from: UdpPath): boolean {
    for (const endpoint of peer.endpoints) if (endpoint.finder!.best?.path === from) return true;
    return false;
  }
}

/** Which endpoint a ping speaks for: the one whose node key it names, or the only one with that disco key. */
function senderOf(peer: DiscoPeer, nodeKey: NodePublicKey | undefined): Endpoint | undefined {
  for (const endpoint of peer.endpoints) {
    if (nodeKey === undefined ? peer.endpoints.size === 1 : bytesEqual(endpoint.peer, nodeKey)) return endpoint;
  }
  return undefined;
}
