/** One mapping, held or requested, by any of the three protocols. */
import { type IpAddress, ipEqual } from "../base/ip.ts";
import type { IgdService } from "./igd.ts";
import { encodePmpMappingRequest } from "./nat-pmp.ts";
import { encodePcpMapRequest } from "./pcp.ts";

export type PortMapProtocol = "pmp" | "pcp" | "upnp";

/** Where the mapping is made. */
export interface PortMapNetwork {
  readonly gateway: IpAddress;
  /** Our address towards the gateway. */
  readonly self: IpAddress;
  /** The UDP port to make reachable. */
  readonly localPort: number;
}

export type Mapping = { readonly network: PortMapNetwork; readonly externalPort: number } & (
  | { readonly protocol: "pmp" }
  | { readonly protocol: "pcp"; readonly nonce: Uint8Array }
  | { readonly protocol: "upnp"; readonly service: IgdService }
);

/** Requested seconds; a longer grant is not relied on. */
export const LIFETIME_S = 7_200;
/** A shorter lease would need constant renewal: treated as no mapping. */
const MIN_LIFETIME_S = 60;

/** Seconds of a response to rely on; undefined when the grant is not usable. */
export function usableLifetime(response: {
  readonly result: number;
  readonly externalPort: number;
  readonly lifetimeS: number;
}): number | undefined {
  if (response.result !== 0 || response.externalPort === 0 || response.lifetimeS < MIN_LIFETIME_S) return undefined;
  return Math.min(response.lifetimeS, LIFETIME_S);
}

/** The datagram that requests the mapping, or with `lifetimeS` 0 deletes it. */
export function mappingDatagram(mapping: Exclude<Mapping, { protocol: "upnp" }>, lifetimeS: number): Uint8Array {
  const fields = {
    internalPort: mapping.network.localPort,
    externalPort: lifetimeS === 0 ? 0 : mapping.externalPort,
    lifetimeS,
  };
  return mapping.protocol === "pmp"
    ? encodePmpMappingRequest(fields)
    : encodePcpMapRequest(mapping.network.self, { ...fields, nonce: mapping.nonce });
}

export function sameGateway(a: PortMapNetwork, b: PortMapNetwork): boolean {
  return ipEqual(a.gateway, b.gateway) && ipEqual(a.self, b.self);
}
