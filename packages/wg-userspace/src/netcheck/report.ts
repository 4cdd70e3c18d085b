/** What a node learnt about its network: the result of one netcheck run. */
import type { AddrPort } from "../base/ip.ts";
import type { RegionId } from "../derp/map.ts";

export interface NetReport {
  /** A STUN server answered. */
  readonly udp: boolean;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** A probe of the family could at least be sent. */
  readonly ipv4CanSend: boolean;
  readonly ipv6CanSend: boolean;
  readonly osHasIpv6: boolean;
  readonly icmpv4: boolean;
  /** The public port differs by destination ("hard" NAT); undefined while fewer than two servers answered. */
  readonly mappingVariesByDestIp: boolean | undefined;
  readonly hairPinning: boolean | undefined;
  /** Port-mapping services seen on the router; undefined when not looked for. */
  readonly upnp: boolean | undefined;
  readonly pmp: boolean | undefined;
  readonly pcp: boolean | undefined;
  readonly captivePortal: boolean | undefined;
  /** Home region; 0 for none. */
  readonly preferredDerp: RegionId;
  /** Round trip to each relay region, ms. */
  readonly regionLatencyMs: ReadonlyMap<RegionId, number>;
  readonly regionV4LatencyMs: ReadonlyMap<RegionId, number>;
  readonly regionV6LatencyMs: ReadonlyMap<RegionId, number>;
  /** Our address as the first STUN server of the family saw it. */
  readonly globalV4: AddrPort | undefined;
  readonly globalV6: AddrPort | undefined;
  /** Every mapping seen, by server: the evidence for the verdicts above. */
  readonly observations: readonly StunObservation[];
  /** Names of STUN servers without an address at the end of the run: those were not probed. */
  readonly unresolvedNames: readonly string[];
}

export interface StunObservation {
  readonly regionId: RegionId;
  readonly node: string;
  readonly server: AddrPort;
  readonly mapped: AddrPort;
  readonly rttMs: number;
}
