/** What the transport layers need to know of a received IP packet. Filled by parseIpv4 or parseIpv6 and reused. */
export class IpPacket {
  version: 4 | 6 = 6;
  /** Transport protocol: the next header after any skipped extension headers. */
  protocol = 0;
  headerOffset = 0;
  sourceOffset = 0;
  destinationOffset = 0;
  /** Bytes of one address. */
  addressLength = 0;
  payloadOffset = 0;
  payloadLength = 0;
  hopLimit = 0;
  /** Where the payload belongs in the payload of the whole packet, in bytes. */
  fragmentOffset = 0;
  /** Other fragments follow this one. */
  moreFragments = false;
  /** Tells the fragments of one packet from those of another; 0 in a whole packet. */
  identification = 0;

  get isFragment(): boolean {
    return this.moreFragments || this.fragmentOffset > 0;
  }
}

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
/** IPv6's fragment header. */
export const PROTOCOL_FRAGMENT = 44;
export const PROTOCOL_ICMPV6 = 58;
/** Tailscale's in-tunnel messages. */
export const PROTOCOL_TSMP = 99;

/** Hop limit of everything we send (the IANA recommendation). */
export const DEFAULT_HOP_LIMIT = 64;
