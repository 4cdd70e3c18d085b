import { bytesEqual } from "../base/bytes.ts";
import { addMs, type Instant } from "../base/instant.ts";
import { type AddrPort, addrPortEqual, type IpAddress, ipEqual } from "../base/ip.ts";
import type { RandomSource } from "../base/ports.ts";
import { TimerTable } from "../base/timer-table.ts";
import { isPublicIpv4 } from "./external-address.ts";
import type { HttpUrl } from "./http-url.ts";
import { deleteMappingRequest, type HttpRequest } from "./igd.ts";
import { IgdConversation, type IgdStep } from "./igd-conversation.ts";
import {
  LIFETIME_S,
  type Mapping,
  mappingDatagram,
  type PortMapNetwork,
  type PortMapProtocol,
  sameGateway,
  usableLifetime,
} from "./mapping.ts";
import { encodePmpAddressRequest, type PmpResponse, parsePmpResponse } from "./nat-pmp.ts";
import {
  encodePcpAnnounce,
  PCP_NONCE_BYTES,
  PCP_UNSUPPORTED_OPCODE,
  type PcpResponse,
  parsePcpResponse,
} from "./pcp.ts";
import { encodeGatewaySearches, parseSearchAnswer } from "./ssdp.ts";

/** Time for an answer by NAT-PMP, PCP or SSDP; everything is sent twice in that time. */
const ANSWER_MS = 250;
const RESEND_MS = 125;
/** Time for a whole UPnP conversation, once a device was seen. */
const SOAP_MS = 2_000;
/** Time for the answer to a deletion. */
const RELEASE_MS = 500;
/** A service that once answered counts as present for this long, despite lost datagrams. */
const TRUST_MS = 10 * 60_000;
/** Minimum interval between two attempts to renew, however near the end of the lease is. */
const MIN_RENEW_MS = 30_000;
/** Descriptions of one gateway that are read. */
const MAX_LOCATIONS = 2;

export interface MapperOutput {
  /** Sends to the gateway's NAT-PMP and PCP port. */
  sendPortControl(gateway: IpAddress, packet: Uint8Array): void;
  /** Sends to the gateway's SSDP port and to the SSDP group. */
  sendSearch(gateway: IpAddress, packet: Uint8Array): void;
  /**
   * Sends an HTTP request. It is answered by handleHttp with the same id, or not at all; with an undefined id no answer
   * is needed.
   */
  request(id: number | undefined, request: HttpRequest): void;
  /** `external` has changed. */
  changed(): void;
  /** Half of the lease is over: call refresh with the current network. */
  renewalDue(): void;
  /** No request is in progress: HTTP requests may be dropped and the socket closed. */
  idle(): void;
}

export interface ServicesSeen {
  readonly upnp: boolean | undefined;
  readonly pmp: boolean | undefined;
  readonly pcp: boolean | undefined;
}

interface Lease {
  readonly mapping: Mapping;
  readonly external: AddrPort;
  readonly until: Instant;
}

interface Search {
  readonly network: PortMapNetwork;
  /** The outside address that the gateway reports, if it supports NAT-PMP and the address is usable. */
  pmpAddress: IpAddress | undefined;
  speaksPcp: boolean;
  readonly locations: HttpUrl[];
  readonly tried: Set<PortMapProtocol>;
  attempt: Attempt | undefined;
  isMapped: boolean;
}

type Attempt =
  | { readonly protocol: "pmp" | "pcp"; readonly mapping: Exclude<Mapping, { protocol: "upnp" }> }
  | { readonly protocol: "upnp"; readonly conversation: IgdConversation };

type Timer = "probe-again" | "probe-end" | "attempt-again" | "attempt-end" | "renew" | "expire";

/**
 * Gets one UDP port mapped by the gateway and keeps it mapped: tries NAT-PMP (RFC 6886), PCP (RFC 6887) and a UPnP IGD
 * at once, maps by the first available of these, in this order, and renews at half life by the one that holds the
 * mapping. Bounded: one search at a time, two datagrams per request, one HTTP request at a time. Only answers from the
 * gateway count.
 */
export class Mapper {
  readonly #random: RandomSource;
  readonly #output: MapperOutput;
  readonly #timers = new TimerTable<Timer>();
  readonly #heard = new Map<PortMapProtocol, Instant>();
  #network: PortMapNetwork | undefined;
  #hasLooked = false;
  #lease: Lease | undefined;
  #search: Search | undefined;
  #releasing: Mapping | undefined;
  #requestId = 0;

  constructor(random: RandomSource, output: MapperOutput) {
    this.#random = random;
    this.#output = output;
  }

  /** The outside address and port that the gateway forwards to us. */
  get external(): AddrPort | undefined {
    return this.#lease?.external;
  }

  get protocol(): PortMapProtocol | undefined {
    return this.#lease?.mapping.protocol;
  }

  /** As of the last refresh. */
  get network(): PortMapNetwork | undefined {
    return this.#network;
  }

  get isIdle(): boolean {
    return this.#search === undefined && this.#releasing === undefined;
  }

  /** A service is undefined until the search has lasted long enough to know that it is missing. */
  seen(now: Instant): ServicesSeen {
    const seen = (protocol: PortMapProtocol): boolean | undefined => {
      const heard = this.#heard.get(protocol);
      if (heard !== undefined && now - heard < TRUST_MS) return true;
      return this.#hasLooked ? false : undefined;
    };
    return { upnp: seen("upnp"), pmp: seen("pmp"), pcp: seen("pcp") };
  }

  /**
   * Restarts the search. A network that cannot have or need a mapping (undefined, or public) is left alone. Must not be
   * called during a release.
   */
  refresh(network: PortMapNetwork | undefined, now: Instant): void {
    this.#endSearch(now);
    const before = this.#network;
    this.#network = network;
    if (before !== undefined && (network === undefined || !sameGateway(before, network))) {
      this.#heard.clear();
      this.#hasLooked = false;
      this.#loseLease(); // the old gateway is unreachable: the mapping expires there
    }
    const lease = this.#lease;
    if (lease !== undefined && lease.mapping.network.localPort !== network?.localPort) {
      this.#deleteQuietly(lease.mapping);
      this.#loseLease();
    }
    if (network === undefined || isPublicIpv4(network.gateway) || isPublicIpv4(network.self)) {
      this.#output.idle();
      return;
    }
    this.#search = {
      network,
      pmpAddress: undefined,
      speaksPcp: false,
      locations: [],
      tried: new Set(),
      attempt: undefined,
      isMapped: false,
    };
    this.#probe(this.#search);
    this.#timers.set("probe-again", addMs(now, RESEND_MS));
    this.#timers.set("probe-end", addMs(now, ANSWER_MS));
  }

  /**
   * Deletes the mapping, even one that was only requested. The mapper is idle once the gateway answered, or after 500
   * ms.
   */
  release(now: Instant): void {
    if (this.#releasing !== undefined) return;
    const mapping = this.#lease?.mapping ?? this.#askedMapping();
    this.#timers.clearAll();
    this.#search = undefined;
    this.#loseLease();
    if (mapping === undefined) {
      this.#output.idle();
      return;
    }
    this.#releasing = mapping;
    this.#sendDelete(mapping, ++this.#requestId);
    this.#timers.set("attempt-again", addMs(now, RESEND_MS));
    this.#timers.set("attempt-end", addMs(now, RELEASE_MS));
  }

  /** A datagram from the gateway's NAT-PMP and PCP port, which the shell has checked; borrowed. */
  handlePortControl(from: IpAddress, datagram: Uint8Array, now: Instant): void {
    const network = this.#releasing?.network ?? this.#search?.network;
    if (network === undefined || !ipEqual(from, network.gateway)) return;
    const pmp = parsePmpResponse(datagram);
    const pcp = pmp === undefined ? parsePcpResponse(datagram) : undefined;
    const releasing = this.#releasing;
    if (releasing !== undefined) {
      const isPmp = releasing.protocol === "pmp" && pmp?.kind === "mapping";
      const isPcp = releasing.protocol === "pcp" && pcp?.kind === "mapping" && bytesEqual(pcp.nonce, releasing.nonce);
      if (isPmp || isPcp) this.#released();
      return;
    }
    const search = this.#search!;
    if (pmp !== undefined) this.#handlePmp(search, pmp, now);
    else if (pcp !== undefined) this.#handlePcp(search, pcp, now);
  }

  /** An answer to a search, from any port of `from`; borrowed. */
  handleSearchAnswer(from: IpAddress, datagram: Uint8Array, now: Instant): void {
    const search = this.#search;
    if (search === undefined || !ipEqual(from, search.network.gateway)) return;
    const location = parseSearchAnswer(datagram);
    if (location === undefined || !ipEqual(location.at.address, search.network.gateway)) return;
    this.#heard.set("upnp", now);
    const isKnown = search.locations.some(({ at, path }) => path === location.path && at.port === location.at.port);
    if (!isKnown && search.locations.length < MAX_LOCATIONS) search.locations.push(location);
    this.#advance(now);
  }

  /** @param body Undefined when the request failed. */
  handleHttp(id: number, body: string | undefined, now: Instant): void {
    if (id !== this.#requestId) return;
    if (this.#releasing !== undefined) {
      this.#released();
      return;
    }
    const attempt = this.#search?.attempt;
    if (attempt?.protocol === "upnp") this.#take(attempt.conversation.handleAnswer(body), now);
  }

  handleTimeout(now: Instant): void {
    for (let timer = this.#timers.takeExpired(now); timer !== undefined; timer = this.#timers.takeExpired(now))
      this.#expired(timer, now);
  }

  nextTimeout(): Instant | undefined {
    return this.#timers.next();
  }

  #expired(timer: Timer, now: Instant): void {
    switch (timer) {
      case "probe-again":
        if (this.#search !== undefined) this.#probe(this.#search);
        return;
      case "probe-end":
        this.#hasLooked = true;
        this.#advance(now);
        return;
      case "attempt-again":
        if (this.#releasing !== undefined) this.#sendDelete(this.#releasing, undefined);
        else this.#sendAttempt();
        return;
      case "attempt-end":
        if (this.#releasing !== undefined) this.#released();
        else this.#failed(now);
        return;
      case "renew":
        this.#output.renewalDue();
        return;
      case "expire":
        this.#loseLease();
    }
  }

  #probe({ network, locations, pmpAddress, speaksPcp }: Search): void {
    if (pmpAddress === undefined) this.#output.sendPortControl(network.gateway, encodePmpAddressRequest());
    if (!speaksPcp) this.#output.sendPortControl(network.gateway, encodePcpAnnounce(network.self));
    if (locations.length > 0) return;
    for (const packet of encodeGatewaySearches()) this.#output.sendSearch(network.gateway, packet);
  }

  #handlePmp(search: Search, response: PmpResponse, now: Instant): void {
    const { attempt } = search;
    if (response.kind === "address") {
      if (response.result !== 0) return;
      this.#heard.set("pmp", now);
      if (isPublicIpv4(response.address)) search.pmpAddress ??= response.address;
      else if (this.protocol === "pmp") this.#loseLease();
      this.#advance(now);
      return;
    }
    if (attempt?.protocol !== "pmp" || response.internalPort !== search.network.localPort) return;
    const lifetimeS = usableLifetime(response);
    if (lifetimeS === undefined) this.#failed(now);
    else this.#mapped({ ...attempt.mapping, externalPort: response.externalPort }, search.pmpAddress!, lifetimeS, now);
  }

  #handlePcp(search: Search, response: PcpResponse, now: Instant): void {
    const { attempt } = search;
    if (response.kind === "announce") {
      if (response.result !== 0 && response.result !== PCP_UNSUPPORTED_OPCODE) return;
      this.#heard.set("pcp", now);
      search.speaksPcp = true;
      this.#advance(now);
      return;
    }
    if (attempt?.protocol !== "pcp" || attempt.mapping.protocol !== "pcp") return;
    if (response.internalPort !== search.network.localPort) return;
    if (!bytesEqual(response.nonce, attempt.mapping.nonce)) return;
    const mapping = { ...attempt.mapping, externalPort: response.externalPort };
    const lifetimeS = usableLifetime(response);
    if (lifetimeS !== undefined && isPublicIpv4(response.external)) {
      this.#mapped(mapping, response.external, lifetimeS, now);
      return;
    }
    if (lifetimeS !== undefined) {
      this.#deleteQuietly(mapping);
      if (this.protocol === "pcp") this.#loseLease();
    }
    this.#failed(now);
  }

  /** Starts the next attempt that is possible, or ends the search. */
  #advance(now: Instant): void {
    const search = this.#search;
    if (search === undefined || search.attempt !== undefined) return;
    const isLooking = this.#timers.has("probe-end");
    const next = search.isMapped ? undefined : this.#order().find((protocol) => this.#canTry(search, protocol));
    // While others may still answer, only the preferred protocol begins.
    if (next !== undefined && (!isLooking || next === this.#order()[0])) this.#attempt(search, next, now);
    else if (!isLooking) this.#endSearch(now);
  }

  /**
   * The order in which protocols are tried: the one that holds the mapping first, since another would create a second
   * mapping.
   */
  #order(): PortMapProtocol[] {
    const holder = this.protocol;
    const rest = (["pmp", "pcp", "upnp"] as const).filter((protocol) => protocol !== holder);
    return holder === undefined ? rest : [holder, ...rest];
  }

  #canTry(search: Search, protocol: PortMapProtocol): boolean {
    if (search.tried.has(protocol)) return false;
    if (protocol === "pmp") return search.pmpAddress !== undefined;
    return protocol === "pcp" ? search.speaksPcp : search.locations.length > 0;
  }

  #attempt(search: Search, protocol: PortMapProtocol, now: Instant): void {
    const { network } = search;
    const held = this.#lease?.mapping;
    const externalPort = held?.externalPort ?? network.localPort;
    search.tried.add(protocol);
    if (protocol === "upnp") {
      const goal = { self: network.self, internalPort: network.localPort, externalPort, lifetimeS: LIFETIME_S };
      const conversation = new IgdConversation(search.locations, goal, this.#random);
      search.attempt = { protocol, conversation };
      this.#timers.set("attempt-end", addMs(now, SOAP_MS));
      this.#take(conversation.start(), now);
      return;
    }
    // A renewal must carry the nonce of the mapping that it renews (RFC 6887 §11.3).
    const nonce = held?.protocol === "pcp" ? held.nonce : this.#random.bytes(PCP_NONCE_BYTES);
    const mapping =
      protocol === "pmp" ? { protocol, network, externalPort } : { protocol, network, externalPort, nonce };
    search.attempt = { protocol, mapping };
    this.#sendAttempt();
    this.#timers.set("attempt-again", addMs(now, RESEND_MS));
    this.#timers.set("attempt-end", addMs(now, ANSWER_MS));
  }

  #sendAttempt(): void {
    const attempt = this.#search?.attempt;
    if (attempt === undefined || attempt.protocol === "upnp") return;
    this.#output.sendPortControl(attempt.mapping.network.gateway, mappingDatagram(attempt.mapping, LIFETIME_S));
  }

  #take(step: IgdStep, now: Instant): void {
    if (step.kind === "request") {
      this.#output.request(++this.#requestId, step.request);
    } else if (step.kind === "mapped") {
      const { service, address, externalPort } = step;
      const { network } = this.#search!;
      this.#mapped({ protocol: "upnp", network, service, externalPort }, address, LIFETIME_S, now);
    } else {
      if (step.isPrivate && this.protocol === "upnp") this.#loseLease();
      this.#failed(now);
    }
  }

  #mapped(mapping: Mapping, address: IpAddress, lifetimeS: number, now: Instant): void {
    const external = { address, port: mapping.externalPort };
    const before = this.#lease?.external;
    this.#lease = { mapping, external, until: addMs(now, lifetimeS * 1000) };
    this.#timers.set("expire", this.#lease.until);
    this.#endAttempt();
    if (this.#search !== undefined) this.#search.isMapped = true;
    if (before === undefined || !addrPortEqual(before, external)) this.#output.changed();
    this.#advance(now);
  }

  #failed(now: Instant): void {
    this.#endAttempt();
    this.#advance(now);
  }

  #endAttempt(): void {
    if (this.#search !== undefined) this.#search.attempt = undefined;
    this.#timers.clear("attempt-again");
    this.#timers.clear("attempt-end");
    this.#requestId++; // answers to earlier requests are late
  }

  #endSearch(now: Instant): void {
    const wasSearching = this.#search !== undefined;
    this.#endAttempt();
    this.#timers.clear("probe-again");
    this.#timers.clear("probe-end");
    this.#search = undefined;
    // Half of the remaining time: half of the lease after a renewal, and half of the rest after each failed one.
    if (this.#lease !== undefined)
      this.#timers.set("renew", addMs(now, Math.max(MIN_RENEW_MS, (this.#lease.until - now) / 2)));
    if (wasSearching) this.#output.idle();
  }

  #loseLease(): void {
    this.#timers.clear("renew");
    this.#timers.clear("expire");
    if (this.#lease === undefined) return;
    this.#lease = undefined;
    this.#output.changed();
  }

  #released(): void {
    this.#releasing = undefined;
    this.#timers.clearAll();
    this.#output.idle();
  }

  #askedMapping(): Mapping | undefined {
    const search = this.#search;
    if (search?.attempt === undefined) return undefined;
    if (search.attempt.protocol !== "upnp") return search.attempt.mapping;
    const asked = search.attempt.conversation.asked;
    return asked === undefined ? undefined : { protocol: "upnp", network: search.network, ...asked };
  }

  #deleteQuietly(mapping: Mapping): void {
    this.#sendDelete(mapping, undefined);
  }

  #sendDelete(mapping: Mapping, id: number | undefined): void {
    if (mapping.protocol !== "upnp") this.#output.sendPortControl(mapping.network.gateway, mappingDatagram(mapping, 0));
    else this.#output.request(id, deleteMappingRequest(mapping.service, mapping.externalPort));
  }
}
