/*
 * ICMPv6 (RFC 4443): like ICMP for IPv4, but the checksum also covers a pseudo-header.
 * Packet too big: 4 MTU (32 bits). Errors quote as much of the packet as fits into 1280 bytes.
 */

export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_PACKET_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;

export const ICMPV6_ADMINISTRATIVELY_PROHIBITED = 1;
export const ICMPV6_PORT_UNREACHABLE = 4;
