import { type AddrPort, formatAddrPort } from "../base/ip.ts";
import type { NodePublicKey } from "../base/keys.ts";

/**
 * One way a message can travel to a peer, and the source that WireGuard sees for messages that came that way. A path is
 * identified by its object: look up "the same path again" in the {@link PathTable}.
 */
export type Path = UdpPath | RelayPath;

export interface UdpPath {
  readonly kind: "udp";
  /** Names the address in cookies: address bytes ‖ port, little-endian. */
  readonly id: Uint8Array;
  /** The address alone: rate limits count hosts, not ports. */
  readonly hostId: Uint8Array;
  readonly address: AddrPort;
}

export interface RelayPath {
  readonly kind: "relay";
  /** The peer's key: a relay has no other address for it. */
  readonly id: Uint8Array;
  readonly regionId: number;
  readonly peer: NodePublicKey;
}

/** What an engine tells its user about a peer's path. */
export function describePath(path: Path): string {
  return path.kind === "udp" ? formatAddrPort(path.address) : `relay ${path.regionId}`;
}

/** UDP paths seen before a peer is known to use them: bounded, oldest forgotten first. */
const MAX_CACHED_UDP_PATHS = 4096;

/**
 * Interns UDP paths, so that one address is one object for as long as it is used. The key is the text a socket
 * reports (`address` and `port`): the shell has it anyway and no packet allocates.
 */
export class PathTable {
  readonly #paths = new Map<string, UdpPath>();
  #lastAddress = "";
  #lastPort = -1;
  #last: UdpPath | undefined;

  /** The path for an address in text form, made by `parse` the first time. Undefined when `parse` cannot read it. */
  udp(address: string, port: number, parse: (text: string) => AddrPort["address"] | undefined): UdpPath | undefined {
    if (this.#last !== undefined && port === this.#lastPort && address === this.#lastAddress) return this.#last;
    const key = `${address}|${port}`;
    let path = this.#paths.get(key);
    if (path === undefined) {
      const parsed = parse(address);
      if (parsed === undefined) return undefined;
      path = udpPath({ address: parsed, port });
      if (this.#paths.size >= MAX_CACHED_UDP_PATHS) this.#forgetOldest();
      this.#paths.set(key, path);
    }
    this.#lastAddress = address;
    this.#lastPort = port;
    this.#last = path;
    return path;
  }

  #forgetOldest(): void {
    for (const key of this.#paths.keys()) {
      this.#paths.delete(key);
      return;
    }
  }
}

export function udpPath(address: AddrPort): UdpPath {
  const id = new Uint8Array(address.address.length + 2);
  id.set(address.address);
  id[address.address.length] = address.port & 255;
  id[address.address.length + 1] = address.port >> 8;
  return { kind: "udp", id, hostId: address.address, address };
}

export function relayPath(regionId: number, peer: NodePublicKey): RelayPath {
  return { kind: "relay", id: peer, regionId, peer };
}
