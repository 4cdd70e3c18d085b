import { bytesEqual } from "./bytes.ts";

/** IP addresses, prefixes and address-port pairs: parse, format, compare. No DNS, no scope ids. */

/** 4 or 16 bytes, network order. Treat as immutable. */
export type IpAddress = Uint8Array & { readonly __brand: "IpAddress" };

export interface IpPrefix {
  readonly address: IpAddress;
  readonly bits: number;
}

export interface AddrPort {
  readonly address: IpAddress;
  readonly port: number;
}

export function ipFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 4 && bytes.length !== 16)
    throw new RangeError(`an IP address has 4 or 16 bytes, got ${bytes.length}`);
  return bytes as IpAddress;
}

export function isIpv4(address: IpAddress): boolean {
  return address.length === 4;
}

/** Undefined for anything that is not a literal IPv4 or IPv6 address. Accepts an IPv4-mapped tail; no zone. */
export function parseIp(text: string): IpAddress | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** For literals in code and tests: throws where parseIp returns undefined. */
export function ip(text: string): IpAddress {
  const address = parseIp(text);
  if (address === undefined) throw new TypeError(`not an IP address: "${text}"`);
  return address;
}

function parseIpv4(text: string): IpAddress | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!;
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    bytes[i] = value;
  }
  return bytes as IpAddress;
}

function parseIpv6(text: string): IpAddress | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const given = head.length + tail.length;
  if (halves.length === 1 ? given !== 8 : given > 7) return undefined;
  const bytes = new Uint8Array(16);
  head.forEach((group, i) => {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 255;
  });
  tail.forEach((group, i) => {
    const at = 16 - 2 * (tail.length - i);
    bytes[at] = group >> 8;
    bytes[at + 1] = group & 255;
  });
  return bytes as IpAddress;
}

function groupsOf(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (mayEndInIpv4 && i === parts.length - 1 && part.includes(".")) {
      const v4 = parseIpv4(part);
      if (v4 === undefined) return undefined;
      groups.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** RFC 5952 text: lower case, longest run of zero groups shortened. */
export function formatIp(address: IpAddress): string {
  if (address.length === 4) return address.join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((address[i]! << 8) | address[i + 1]!);
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; ) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > bestLength) {
      bestStart = i;
      bestLength = end - i;
    }
    i = Math.max(end, i + 1);
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (bestStart < 0) return text(groups);
  return `${text(groups.slice(0, bestStart))}::${text(groups.slice(bestStart + bestLength))}`;
}

export function ipEqual(a: IpAddress, b: IpAddress): boolean {
  return bytesEqual(a, b);
}

/** `address/bits`; a bare address means its full length. Undefined when malformed. Host bits are kept as given. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf("/");
  const address = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const width = address.length * 8;
  if (slash < 0) return { address, bits: width };
  const bitsText = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(bitsText) || Number(bitsText) > width) return undefined;
  return { address, bits: Number(bitsText) };
}

export function formatPrefix(prefix: IpPrefix): string {
  return `${formatIp(prefix.address)}/${prefix.bits}`;
}

/** Whether the address lies in the prefix. Families never match each other. */
export function prefixContains(prefix: IpPrefix, address: IpAddress): boolean {
  if (prefix.address.length !== address.length) return false;
  const whole = prefix.bits >> 3;
  for (let i = 0; i < whole; i++) if (prefix.address[i] !== address[i]) return false;
  const rest = prefix.bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((prefix.address[whole]! ^ address[whole]!) & mask) === 0;
}

/** `1.2.3.4:5` or `[::1]:5`; undefined when malformed. */
export function parseAddrPort(text: string): AddrPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const address = parseIp(match[1] ?? match[2]!);
  const port = Number(match[3]);
  if (address === undefined || port > 65535 || (match[1] !== undefined) === isIpv4(address)) return undefined;
  return { address, port };
}

export function formatAddrPort(at: AddrPort): string {
  return isIpv4(at.address) ? `${formatIp(at.address)}:${at.port}` : `[${formatIp(at.address)}]:${at.port}`;
}

export function addrPortEqual(a: AddrPort, b: AddrPort): boolean {
  return a.port === b.port && ipEqual(a.address, b.address);
}
