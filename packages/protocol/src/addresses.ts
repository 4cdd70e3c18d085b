/** The addresses that nodes have inside the tunnel: a prefix of 6 bytes over a UUID. */

/** Tailscale's service prefix, fd7a:115c:a1e0::/48. */
export const TAILSCALE_PREFIX: readonly number[] = [0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0];
/** Coder's service prefix, fd60:627a:a42b::/48. */
export const CODER_PREFIX: readonly number[] = [0xfd, 0x60, 0x62, 0x7a, 0xa4, 0x2b];
/** The address of all agents before addresses were derived from their ids. Still accepted by coordinators. */
export const LEGACY_AGENT_ADDRESS = "fd7a:115c:a1e0:49d6:b259:b7ac:b1b2:48f4";
/** Address at which Coder Connect answers DNS. */
export const DNS_SERVICE_ADDRESS = "fd60:627a:a42b::53";

export const UUID_BYTES = 16;

/** The part of a random source that is used here. */
export interface RandomBytes {
  bytes(length: number): Uint8Array;
}

/** Lower case, as Coder writes UUIDs. */
const CANONICAL_UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text is a UUID: 8-4-4-4-12 hex digits, in either case. */
export function isUuid(text: string): boolean {
  return isCanonicalUuid(text.toLowerCase());
}

/** Whether a text is a UUID in lower case. */
export function isCanonicalUuid(text: string): boolean {
  return CANONICAL_UUID.test(text);
}

/** The bytes of a UUID; undefined when the text is not a UUID. */
export function parseUuid(text: string): Uint8Array | undefined {
  if (!isUuid(text)) return undefined;
  const digits = text.replaceAll("-", "");
  return Uint8Array.from({ length: UUID_BYTES }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** For ids that were checked before: throws where {@link parseUuid} returns undefined. */
export function uuidToBytes(text: string): Uint8Array {
  const bytes = parseUuid(text);
  if (bytes === undefined) throw new TypeError(`not a UUID: "${text.slice(0, 40)}"`);
  return bytes;
}

/** Lower case with hyphens; undefined when there are not 16 bytes. */
export function uuidFromBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length !== UUID_BYTES) return undefined;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** For ids that were checked before: throws where {@link uuidFromBytes} returns undefined. */
export function bytesToUuid(bytes: Uint8Array): string {
  const uuid = uuidFromBytes(bytes);
  if (uuid === undefined) throw new TypeError(`a UUID has ${UUID_BYTES} bytes, got ${bytes.length}`);
  return uuid;
}

/** A random UUID, version 4 (RFC 9562 §5.4). */
export function randomUuid(random: RandomBytes): string {
  const bytes = random.bytes(UUID_BYTES).slice();
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return uuidFromBytes(bytes)!;
}

/** The 16 bytes of the address: `prefix` over the UUID's first 6 bytes. Throws on anything but a UUID. */
export function addressBytes(uuid: string, prefix: readonly number[]): Uint8Array {
  const bytes = uuidToBytes(uuid);
  bytes.set(prefix);
  return bytes;
}

/** The address to dial an agent: under the Tailscale prefix, as text. */
export function agentAddress(agentId: string): string {
  return formatIpv6(addressBytes(agentId, TAILSCALE_PREFIX));
}

/** An agent's or client's address under the Coder prefix, as text. */
export function coderAddress(uuid: string): string {
  return formatIpv6(addressBytes(uuid, CODER_PREFIX));
}

/** All addresses at which an agent answers, in the order of its node. */
export function agentAddresses(agentId: string): [tailscale: string, coder: string] {
  return [agentAddress(agentId), coderAddress(agentId)];
}

/** Whether a coordinator lets an agent have this address. @param address Text without prefix length, in any spelling. */
export function isAgentAddress(address: Uint8Array, agentId: string): boolean {
  const allowed = [addressBytes(agentId, TAILSCALE_PREFIX), addressBytes(agentId, CODER_PREFIX), LEGACY_BYTES];
  return allowed.some((bytes) => bytes.length === address.length && bytes.every((byte, i) => byte === address[i]));
}

/** An address for a client that was not given one, under the Tailscale prefix. */
export function randomClientAddress(random: RandomBytes): string {
  return agentAddress(randomUuid(random));
}

/** `Node.id` of an agent: the last 8 bytes of its UUID as a positive number. */
export function nodeIdOfUuid(uuid: string): bigint {
  const value = BigInt.asIntN(
    64,
    uuidToBytes(uuid)
      .subarray(8)
      .reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
  );
  return BigInt.asUintN(63, value < 0n ? -value : value);
}

/** `Node.id` of a client: a random number of 63 bits. */
export function randomNodeId(random: RandomBytes): bigint {
  return BigInt.asUintN(
    63,
    random.bytes(8).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
  );
}

/** RFC 5952 text: lower case, the first longest run of zero groups shortened. @param bytes 16 of them. */
export function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (groups[end] === "0") end++;
    if (end - start > bestLength) {
      bestStart = start;
      bestLength = end - start;
    }
  }
  if (bestStart < 0) return groups.join(":");
  return `${groups.slice(0, bestStart).join(":")}::${groups.slice(bestStart + bestLength).join(":")}`;
}

const LEGACY_BYTES = Uint8Array.from([
  0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0x49, 0xd6, 0xb2, 0x59, 0xb7, 0xac, 0xb1, 0xb2, 0x48, 0xf4,
]);
