/** The marker of disco packets: engines sort datagrams by it, and relays queue disco separately from data. */

/** The first bytes of every disco packet. */
export const DISCO_MAGIC: Uint8Array = Uint8Array.of(0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac);
/** Magic, sender's disco key and nonce; the box follows. */
export const DISCO_HEADER_BYTES = 62;

/** Whether bytes are disco. Such a packet is never handed to WireGuard, even if it cannot be opened. */
export function looksLikeDisco(bytes: Uint8Array, offset: number, length: number): boolean {
  if (length < DISCO_HEADER_BYTES) return false;
  for (let i = 0; i < DISCO_MAGIC.length; i++) if (bytes[offset + i] !== DISCO_MAGIC[i]) return false;
  return true;
}
