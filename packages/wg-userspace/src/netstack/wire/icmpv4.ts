/*
 * ICMP for IPv4 (RFC 792): 0 type | 1 code | 2 checksum over the message | 4 rest of header | 8 data
 * Echo: 4 identifier | 6 sequence. Errors: from 8 the IP header and at least 8 bytes of the packet they are about.
 */

export const ICMP_HEADER_BYTES = 8;

export const ICMPV4_ECHO_REPLY = 0;
export const ICMPV4_UNREACHABLE = 3;
export const ICMPV4_ECHO_REQUEST = 8;
export const ICMPV4_TIME_EXCEEDED = 11;

export const ICMPV4_PROTOCOL_UNREACHABLE = 2;
export const ICMPV4_PORT_UNREACHABLE = 3;
/** RFC 1191 §4: the next hop's MTU is in bytes 6 and 7. */
export const ICMPV4_FRAGMENTATION_NEEDED = 4;
