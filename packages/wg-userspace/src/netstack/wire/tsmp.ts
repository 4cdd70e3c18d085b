/*
 * TSMP (IP protocol 99), no checksum:
 *   ping: 'p' ‖ 8 opaque bytes          pong: 'o' ‖ the same 8 bytes ‖ u16 port of the peer API (0: none)
 */

export const TSMP_PING = 0x70;
export const TSMP_PONG = 0x6f;
export const TSMP_PING_BYTES = 9;
export const TSMP_PONG_BYTES = 11;
