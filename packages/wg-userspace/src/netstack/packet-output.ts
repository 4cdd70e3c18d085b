import type { IpAddress } from "../base/ip.ts";
import type { PacketMemory } from "../base/ports.ts";

/** Where the stack writes packets. Offsets and bytes are the engine's slot memory. */
export interface PacketOutput {
  readonly memory: PacketMemory;
  /**
   * Offset of room for one packet of up to mtu bytes; -1 when no slot is free: the stack stops sending and resumes at its
   * next flush(). A begin() that is not followed by commit() may be repeated and yields the same or an equal slot.
   */
  begin(): number;
  /**
   * True while the carrier to that address is full: connections to it wait, others continue. Without it no carrier is
   * ever full.
   */
  blocked?(remote: IpAddress): boolean;
  /** Sends memory.bytes[begin, begin+length). Ownership passes. */
  commit(length: number): void;
}
