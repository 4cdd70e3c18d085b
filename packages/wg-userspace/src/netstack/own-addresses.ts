import { type IpAddress, ipFromBytes } from "../base/ip.ts";
import type { PacketMemory } from "../base/ports.ts";

/** The addresses of this host, and how to find them in packets without copying. */
export class OwnAddresses {
  readonly #addresses: readonly IpAddress[];

  constructor(addresses: readonly IpAddress[]) {
    this.#addresses = addresses;
  }

  /** The address that packets to `remote` are sent from; undefined if the host has none of its family. */
  towards(remote: IpAddress): IpAddress | undefined {
    return this.#addresses.find((address) => address.length === remote.length);
  }

  includes(memory: PacketMemory, offset: number, length: number): boolean {
    for (const address of this.#addresses) if (isAt(address, memory, offset, length)) return true;
    return false;
  }

  /** The address in a packet: our own object if it is one of ours, else a copy. */
  at(memory: PacketMemory, offset: number, length: number): IpAddress {
    for (const address of this.#addresses) if (isAt(address, memory, offset, length)) return address;
    return addressAt(memory, offset, length);
  }
}

/** Whether these bytes of a packet are that address. */
export function isAt(address: IpAddress, memory: PacketMemory, offset: number, length: number): boolean {
  if (address.length !== length) return false;
  for (let i = 0; i < length; i++) if (address[i] !== memory.bytes[offset + i]) return false;
  return true;
}

/** A copy of the address in a packet. */
export function addressAt(memory: PacketMemory, offset: number, length: number): IpAddress {
  return ipFromBytes(memory.bytes.slice(offset, offset + length));
}
