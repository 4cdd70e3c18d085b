import { hexEncode } from "../base/bytes.ts";
import { addMs, type Instant } from "../base/instant.ts";
import { type AddrPort, addrPortEqual, isIpv4 } from "../base/ip.ts";
import type { RandomSource } from "../base/ports.ts";
import type { RegionId } from "../derp/map.ts";
import { encodeBindingRequest, parseBindingResponse, TRANSACTION_ID_BYTES } from "../stun/message.ts";
import type { ProbeSet } from "./plan.ts";
import type { StunObservation } from "./report.ts";

/** Limit of the whole STUN phase. */
const LIMIT_MS = 3_000;
/** Time for the answer to the last probe of a set. */
const ANSWER_MS = 1_000;
/**
 * As long as nothing has answered, every set continues after its plan, at this pace, until the limit. A path that loses
 * 30 % each way drops three requests in a row one time in eight, ten in a row one time in a thousand.
 */
const REPEAT_GAP_MS = 300;
/** The repetitions end this long before the limit, so that an answer can arrive in time. */
const REPEAT_UNTIL_MS = LIMIT_MS - 500;

export interface StunServer {
  readonly regionId: RegionId;
  readonly node: string;
  readonly address: AddrPort;
}

export interface StunRunOutput {
  /** Sends one request from the measured socket. */
  send(to: AddrPort, packet: Uint8Array): void;
  /** An answer, the first of its set. */
  observed(observation: StunObservation): void;
}

interface SetState {
  readonly plan: ProbeSet;
  readonly servers: StunServer[];
  sent: number;
  /** When the last request left. */
  sentAt: number;
  done: boolean;
}

/**
 * Probes STUN servers by plan and collects the addresses they saw. Servers may become known while it runs, as their
 * names resolve: known ones are probed at once, without waiting for the others.
 */
export class StunRun {
  readonly #sets: SetState[];
  readonly #output: StunRunOutput;
  readonly #random: RandomSource;
  readonly #startedAt: Instant;
  readonly #pending = new Map<string, { readonly set: SetState; readonly server: StunServer; readonly at: Instant }>();
  #resolving = true;
  /** At least one server answered. */
  #answered = false;
  #sentV4 = false;
  #sentV6 = false;

  constructor(plan: readonly ProbeSet[], random: RandomSource, output: StunRunOutput, now: Instant) {
    this.#sets = plan.map((set) => ({ plan: set, servers: [], sent: 0, sentAt: now, done: false }));
    this.#random = random;
    this.#output = output;
    this.#startedAt = now;
  }

  /** Whether a request of the family was sent at all. */
  get sent(): { readonly ipv4: boolean; readonly ipv6: boolean } {
    return { ipv4: this.#sentV4, ipv6: this.#sentV6 };
  }

  addServer(server: StunServer, now: Instant): void {
    const family = isIpv4(server.address.address) ? 4 : 6;
    const set = this.#sets.find(({ plan }) => plan.regionId === server.regionId && plan.family === family);
    if (set === undefined || set.servers.some((known) => addrPortEqual(known.address, server.address))) return;
    set.servers.push(server);
    this.handleTimeout(now);
  }

  /** No further servers will come. */
  allServersKnown(now: Instant): void {
    this.#resolving = false;
    this.handleTimeout(now);
  }

  /** Any STUN message of the socket; borrowed. Messages that answer none of our requests are ignored. */
  handleStun(datagram: Uint8Array, now: Instant): void {
    const response = parseBindingResponse(datagram);
    if (response === undefined) return;
    const id = hexEncode(response.transactionId);
    const probe = this.#pending.get(id);
    if (probe === undefined) return;
    this.#pending.delete(id);
    if (probe.set.done) return;
    probe.set.done = true;
    this.#answered = true;
    this.#output.observed({
      regionId: probe.server.regionId,
      node: probe.server.node,
      server: probe.server.address,
      mapped: response.mapped,
      rttMs: now - probe.at,
    });
  }

  handleTimeout(now: Instant): void {
    for (const set of this.#sets) {
      if (set.done) continue;
      while (set.servers.length > 0 && this.#dueAt(set) <= now) this.#probe(set, now);
      if (this.#givenUpAt(set) <= now) set.done = true;
    }
  }

  /** Over: every set was answered or has ended. */
  isDone(now: Instant): boolean {
    return now >= addMs(this.#startedAt, LIMIT_MS) || this.#sets.every(({ done }) => done);
  }

  nextTimeout(): Instant {
    let next = this.#startedAt + LIMIT_MS;
    for (const set of this.#sets) {
      if (set.done) continue;
      next = Math.min(next, set.servers.length > 0 ? this.#dueAt(set) : next, this.#givenUpAt(set));
    }
    return next as Instant;
  }

  /** Infinite when the set has no further request. */
  #dueAt({ plan, sent, sentAt }: SetState): number {
    const planned = plan.atMs[sent];
    if (planned !== undefined) return this.#startedAt + planned;
    const next = sentAt + REPEAT_GAP_MS;
    return this.#answered || next > this.#startedAt + REPEAT_UNTIL_MS ? Number.POSITIVE_INFINITY : next;
  }

  #givenUpAt(set: SetState): number {
    if (set.servers.length === 0) return this.#resolving ? Number.POSITIVE_INFINITY : this.#startedAt;
    if (this.#dueAt(set) !== Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    return set.sentAt + ANSWER_MS;
  }

  #probe(set: SetState, now: Instant): void {
    const server = set.servers[set.sent % set.servers.length]!;
    set.sentAt = now;
    set.sent++;
    const id = this.#random.bytes(TRANSACTION_ID_BYTES);
    this.#pending.set(hexEncode(id), { set, server, at: now });
    if (set.plan.family === 4) this.#sentV4 = true;
    else this.#sentV6 = true;
    this.#output.send(server.address, encodeBindingRequest(id));
  }
}

/** Whether the mapping of the family differs by destination; undefined when fewer than two servers answered. */
export function mappingVaries(observations: readonly StunObservation[]): boolean | undefined {
  const v4 = observations.filter(({ mapped }) => isIpv4(mapped.address));
  const servers = new Set(v4.map(({ server }) => `${server.address.join(".")}:${server.port}`));
  if (servers.size < 2) return undefined;
  return v4.some(({ mapped }) => !addrPortEqual(mapped, v4[0]!.mapped));
}
