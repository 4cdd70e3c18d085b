import { copyBytes } from "../base/bytes.ts";
import type { DropReason } from "../base/errors.ts";
import { addMs, type Instant } from "../base/instant.ts";
import { formatIp } from "../base/ip.ts";
import type { ChecksumFunction, PacketMemory } from "../base/ports.ts";
import { addressAt } from "./own-addresses.ts";
import { emitIpHeader } from "./wire/ip.ts";
import { type IpPacket, PROTOCOL_FRAGMENT } from "./wire/ip-packet.ts";

/** RFC 8200 §4.5 allows 60 s; inside a tunnel a fragment missing after a few seconds was lost. */
const LIFE_MS = 15_000;
/** Incomplete packets at once: in total, and from one source. The oldest is dropped for a new one. */
const MAX_PACKETS = 256;
const MAX_PACKETS_PER_SOURCE = 16;
/** Waiting bytes of payload in total. The oldest packets are dropped for new ones. */
const MAX_BYTES = 2 << 20;
const MAX_FRAGMENTS = 64;
const MAX_PAYLOAD_BYTES = 65_535;

interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

interface Incomplete {
  readonly source: string;
  readonly until: Instant;
  /** Ascending, without overlap. */
  readonly pieces: Piece[];
  held: number;
  /** Bytes of the whole payload, once the last piece is here. */
  total: number | undefined;
}

/**
 * Reassembles fragmented packets (RFC 8200 §4.5, RFC 791 §3.2). Overlapping fragments are an attack and discard their
 * packet (RFC 5722). Control path: keyed by text, and bytes are copied.
 */
export class Reassembly {
  /** Oldest first. */
  readonly #incomplete = new Map<string, Incomplete>();
  #bytes = 0;
  readonly #onLost: (reason: DropReason) => void;

  /** @param onLost A packet was dropped: too old, or evicted by another one. */
  constructor(onLost: (reason: DropReason) => void) {
    this.#onLost = onLost;
  }

  /**
   * Takes one fragment; its bytes are copied.
   * @returns the whole packet, with a plain header, when this was the last one missing; undefined: not yet; a reason: the
   * packet it belongs to is lost.
   */
  handle(
    memory: PacketMemory,
    packet: IpPacket,
    checksum: ChecksumFunction,
    now: Instant,
  ): PacketMemory | DropReason | undefined {
    this.#forgetOld(now);
    const { fragmentOffset: at, payloadLength: length, moreFragments, identification, protocol } = packet;
    if (protocol === PROTOCOL_FRAGMENT || length === 0 || at + length > MAX_PAYLOAD_BYTES) return "malformed";
    if (moreFragments && length % 8 !== 0) return "malformed";
    const source = addressAt(memory, packet.sourceOffset, packet.addressLength);
    const destination = addressAt(memory, packet.destinationOffset, packet.addressLength);
    const from = formatIp(source);
    const key = `${from} ${formatIp(destination)} ${identification} ${protocol}`;
    const whole = this.#incomplete.get(key) ?? this.#begin(key, from, now);
    const reason = insert(whole, at, length, moreFragments);
    if (reason !== undefined) {
      this.#forget(key, whole);
      return reason;
    }
    this.#makeRoom(key, length);
    const place = whole.pieces.findIndex((piece) => piece.at > at);
    const piece = {
      at,
      bytes: copyBytes(memory.bytes.subarray(packet.payloadOffset, packet.payloadOffset + length)),
    };
    whole.pieces.splice(place < 0 ? whole.pieces.length : place, 0, piece);
    whole.held += length;
    this.#bytes += length;
    if (whole.held !== whole.total) return undefined;
    this.#forget(key, whole);
    const header = packet.addressLength === 4 ? 20 : 40;
    const bytes = new Uint8Array(header + whole.total);
    const result = { bytes, view: new DataView(bytes.buffer) };
    emitIpHeader(result, 0, source, destination, protocol, whole.total, checksum);
    for (const { at: start, bytes: part } of whole.pieces) bytes.set(part, header + start);
    return result;
  }

  #begin(key: string, source: string, now: Instant): Incomplete {
    const ofSource = [...this.#incomplete].filter(([, other]) => other.source === source);
    const oldest =
      ofSource.length >= MAX_PACKETS_PER_SOURCE
        ? ofSource[0]
        : this.#incomplete.size >= MAX_PACKETS
          ? this.#incomplete.entries().next().value
          : undefined;
    if (oldest !== undefined) this.#lose(...oldest);
    const made: Incomplete = { source, until: addMs(now, LIFE_MS), pieces: [], held: 0, total: undefined };
    this.#incomplete.set(key, made);
    return made;
  }

  #makeRoom(key: string, length: number): void {
    for (const [other, incomplete] of this.#incomplete) {
      if (this.#bytes + length <= MAX_BYTES) return;
      if (other !== key) this.#lose(other, incomplete);
    }
  }

  #forgetOld(now: Instant): void {
    for (const [key, incomplete] of this.#incomplete) {
      if (incomplete.until > now) return;
      this.#lose(key, incomplete);
    }
  }

  #lose(key: string, incomplete: Incomplete): void {
    this.#forget(key, incomplete);
    this.#onLost("fragmented");
  }

  #forget(key: string, incomplete: Incomplete): void {
    this.#incomplete.delete(key);
    this.#bytes -= incomplete.held;
  }
}

/** Whether the piece is consistent with those held; records the total. */
function insert(whole: Incomplete, at: number, length: number, more: boolean): DropReason | undefined {
  const end = at + length;
  if (whole.pieces.length >= MAX_FRAGMENTS) return "malformed";
  if (!more) {
    if (whole.total !== undefined && whole.total !== end) return "malformed";
    whole.total = end;
  }
  const beyond =
    whole.total !== undefined && (end > whole.total || whole.pieces.some((piece) => lengthTo(piece) > whole.total!));
  if (beyond) return "malformed";
  return whole.pieces.some((piece) => piece.at < end && lengthTo(piece) > at) ? "malformed" : undefined;
}

function lengthTo({ at, bytes }: Piece): number {
  return at + bytes.length;
}
