import type { EngineError } from "../../base/errors.ts";
import type { UdpPath } from "../../magicsock/path.ts";

/** Requested from the kernel, which may grant less. */
export const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
/** What the driver sends datagrams with. */
export interface DatagramSocket {
  /** Sends `memory.bytes[slot, slot + length)`, no later than at `flush`, and releases the TX slot once the socket no longer needs it. */
  send(to: UdpPath, slot: number, length: number): void;
  /** Ends a turn: hands as much to the kernel as it has room for. */
  flush(): void;
  /**
   * Sends a copy of a packet that is not bulk data. `ttl`: hop limit of this packet only. A packet longer than every usable path
   * carries measures the path: where the system allows it, it arrives unfragmented or not at all.
   */
  sendProbe(to: UdpPath, packet: Uint8Array, ttl: number | undefined): void;
  /** Datagrams that the kernel had no room for yet. */
  readonly waiting: number;
  /** Local ports by family; undefined where the host lacks the family. */
  readonly ports: { readonly ipv4: number | undefined; readonly ipv6: number | undefined };
  close(): void;
}

/** A {@link DatagramSocket} of one address family. */
export interface FamilySocket extends Omit<DatagramSocket, "ports"> {
  readonly port: number;
}

export interface UdpSocketHandler {
  /** One received datagram; the bytes are the socket's and valid during the call. */
  onDatagram(address: string, port: number, datagram: Uint8Array): void;
  /** A WireGuard data packet in an RX slot, which the handler now owns. */
  onTransport(from: UdpPath, slot: number, length: number): void;
  /** The path of datagrams from that address; undefined if no peer can have it. */
  pathOf(address: string, port: number): UdpPath | undefined;
  /** A datagram longer than a slot was received, and dropped. */
  onTooLong(): void;
  /** All datagrams of one batch have been reported. */
  onBatchEnd(): void;
  /** The socket failed and is closed. */
  onError(error: EngineError): void;
  /** `waiting` decreased: congestion may be over. */
  onDrain(): void;
}
