import type { Instant } from "../../base/instant.ts";
import type { AddrPort } from "../../base/ip.ts";
import { TCP_HEADER_BYTES, TIMESTAMPS_BYTES } from "../wire/tcp.ts";
import type { Negotiation } from "./negotiation.ts";
import { PathMtuSearch } from "./path-mtu-search.ts";
import type { Sender } from "./sender.ts";

/** RFC 9293 §3.7.1. */
const DEFAULT_MSS_IPV4 = 536;
const DEFAULT_MSS_IPV6 = 1220;
/** A smaller MSS would make us send mostly headers. */
const MINIMUM_MSS = 64;

interface SegmentSizeParts {
  /** Largest packet the path to this address carries, as far as the stack knows. */
  readonly pathMtu: { pathMtu(remote: AddrPort): number };
  readonly remote: AddrPort;
  readonly ipHeaderBytes: number;
  readonly sender: Sender;
  readonly negotiation: Negotiation;
}

/** The effective MSS of a connection: the smaller of the peer's and the path's, less our options (RFC 9293 §3.7.1). */
export class SegmentSize {
  /** The peer's MSS option. */
  peerMss: number;
  readonly #parts: SegmentSizeParts;
  readonly #search: PathMtuSearch;

  constructor(parts: SegmentSizeParts) {
    this.#parts = parts;
    this.#search = new PathMtuSearch(parts.pathMtu.pathMtu(parts.remote));
    this.peerMss = parts.remote.address.length === 4 ? DEFAULT_MSS_IPV4 : DEFAULT_MSS_IPV6;
  }

  /** When the stack's packet size is tried again; Infinity: not planned. */
  get retryAt(): number {
    return this.#search.retryAt;
  }

  /** @param lost See {@link Sender.setMss}. */
  apply(lost = false): void {
    const { sender, negotiation, ipHeaderBytes } = this.#parts;
    const pathMss = this.#search.mtu - ipHeaderBytes - TCP_HEADER_BYTES;
    const mss = Math.min(pathMss, this.peerMss) - (negotiation.timestamps ? TIMESTAMPS_BYTES : 0);
    sender.setMss(Math.max(mss, MINIMUM_MSS), lost);
  }

  /** Tries the stack's packet size for the path. */
  retry(): void {
    if (this.#search.restore(this.#parts.pathMtu.pathMtu(this.#parts.remote))) this.apply();
  }

  /** The path carries a different packet size. `reported`: by a packet-too-big message about one of our packets. */
  pathChanged(mtu: number, reported: boolean, now: Instant): void {
    const search = this.#search;
    if (reported ? search.reported(mtu, now) : search.restore(mtu)) this.apply(reported);
  }

  /** Data was acknowledged. */
  onProgress(): void {
    if (this.#search.wantsProgress && this.#search.onProgress(this.#parts.sender)) this.retry();
  }

  /** After a retransmission timeout. */
  onTimeout(now: Instant): void {
    if (this.#search.onTimeout(this.#parts.sender, now)) this.apply();
  }
}
