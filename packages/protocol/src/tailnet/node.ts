/** What is published about a node, between its protobuf form and a plain one, checked and bounded. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { uuidFromBytes } from "../addresses.ts";
import {
  type CoordinateResponse_PeerUpdate,
  CoordinateResponse_PeerUpdate_Kind,
  type Node,
  type NodeSchema,
} from "../gen/tailnet_pb.ts";

export interface NodeInfo {
  /** Unique per connection; nothing else depends on it. */
  readonly id: bigint;
  /** When the node reported this, in ms since 1970 on its own clock; 0 when unknown. */
  readonly asOfUnixMs: number;
  /** WireGuard public key, 32 bytes. */
  readonly key: Uint8Array;
  /** `discokey:` and 64 hex digits, or empty for a node without disco. */
  readonly disco: string;
  /** Home region; 0 when it has none and cannot be reached. */
  readonly preferredDerp: number;
  /** Seconds, by `<region>-v4` or `<region>-v6`. */
  readonly derpLatency: ReadonlyMap<string, number>;
  /** Region to the reason why it is reached by WebSocket only. */
  readonly derpForcedWebsocket: ReadonlyMap<number, string>;
  /** `address/bits`. */
  readonly addresses: readonly string[];
  /** `address/bits`. */
  readonly allowedIps: readonly string[];
  /** `ip:port` or `[ip]:port`. */
  readonly endpoints: readonly string[];
}

/** The coordinator's report about a peer, whose id is a UUID in text form. */
export type PeerUpdateInfo =
  | {
      readonly kind: "node";
      readonly id: string;
      readonly node: NodeInfo;
      /** The sealed right to the peer's tunnels, to be sent back to the coordinator when the peer is lost. */
      readonly right?: Uint8Array | undefined;
    }
  | { readonly kind: "disconnected"; readonly id: string }
  | {
      readonly kind: "lost";
      readonly id: string;
      /** Its control connection was closed by its operating system, without a disconnect, while it was healthy. */
      readonly byClose: boolean;
    }
  | { readonly kind: "ready"; readonly id: string };

/** The reasons of LOST updates: the usual one, and the one about a peer whose process seems to have been killed. */
export const LOST = "lost";
export const LOST_BY_CLOSE = "lost: connection closed without goodbye";

/** Endpoints beyond this are dropped: peers ping no more than this. */
export const MAX_ENDPOINTS = 32;
/** More addresses or prefixes make a node malformed: with a part of them it would be a different node. */
export const MAX_PREFIXES = 64;
const MAX_REGIONS = 256;
const MAX_REASON_LENGTH = 64;
const MAX_REGION_ID = 65535;

/** A longer right is ignored. */
export const MAX_RIGHT_BYTES = 256;
/** Lost peers in one message; further ones are ignored. */
export const MAX_LOST_PEERS = 256;

const KEY_BYTES = 32;
/** "np" before the key. */
const KEY_PREFIX = [0x6e, 0x70];
const DISCO_KEY = /^discokey:[0-9a-f]{64}$/i;

/** Throws nothing: the fields are our own. Endpoints beyond MAX_ENDPOINTS are left out. */
export function nodeToProto(node: NodeInfo): MessageInitShape<typeof NodeSchema> {
  return {
    id: node.id,
    asOf: timestampFromMs(node.asOfUnixMs),
    key: Uint8Array.from([...KEY_PREFIX, ...node.key]),
    disco: node.disco,
    preferredDerp: node.preferredDerp,
    derpLatency: Object.fromEntries(node.derpLatency),
    derpForcedWebsocket: Object.fromEntries(node.derpForcedWebsocket),
    addresses: [...node.addresses],
    allowedIps: [...node.allowedIps],
    endpoints: node.endpoints.slice(0, MAX_ENDPOINTS),
  };
}

/** Why a node cannot be used: one phrase. */
export interface NodeFault {
  readonly error: string;
}

/** Never throws on input from a peer. */
export function nodeFromProto(node: Node): NodeInfo | NodeFault {
  const { key } = node;
  if (key.length !== KEY_PREFIX.length + KEY_BYTES || key[0] !== KEY_PREFIX[0] || key[1] !== KEY_PREFIX[1]) {
    return { error: `key is not "np" and ${KEY_BYTES} bytes` };
  }
  if (node.disco !== "" && !DISCO_KEY.test(node.disco)) return { error: "disco is not discokey: and 64 hex digits" };
  if (node.preferredDerp < 0 || node.preferredDerp > MAX_REGION_ID)
    return { error: `preferred_derp ${node.preferredDerp}` };
  const fault = prefixFault("addresses", node.addresses) ?? prefixFault("allowed_ips", node.allowedIps);
  if (fault !== undefined) return fault;
  return {
    id: node.id,
    asOfUnixMs: node.asOf === undefined ? 0 : timestampMs(node.asOf),
    key: key.slice(KEY_PREFIX.length),
    disco: node.disco.toLowerCase(),
    preferredDerp: node.preferredDerp,
    derpLatency: latencies(node.derpLatency),
    derpForcedWebsocket: reasons(node.derpForcedWebsocket),
    addresses: node.addresses,
    allowedIps: node.allowedIps,
    endpoints: node.endpoints.filter(isAddrPort).slice(0, MAX_ENDPOINTS),
  };
}

/** Undefined for unusable updates: an unknown kind, an id that is not a UUID, a malformed node. */
export function peerUpdateFromProto(update: CoordinateResponse_PeerUpdate): PeerUpdateInfo | undefined {
  const id = uuidFromBytes(update.id);
  if (id === undefined) return undefined;
  switch (update.kind) {
    case CoordinateResponse_PeerUpdate_Kind.NODE: {
      if (update.node === undefined) return undefined;
      const node = nodeFromProto(update.node);
      if ("error" in node) return undefined;
      const { right } = update;
      return {
        kind: "node",
        id,
        node,
        right: right.length === 0 || right.length > MAX_RIGHT_BYTES ? undefined : right,
      };
    }
    case CoordinateResponse_PeerUpdate_Kind.DISCONNECTED:
      return { kind: "disconnected", id };
    case CoordinateResponse_PeerUpdate_Kind.LOST:
      return { kind: "lost", id, byClose: update.reason === LOST_BY_CLOSE };
    case CoordinateResponse_PeerUpdate_Kind.READY_FOR_HANDSHAKE:
      return { kind: "ready", id };
    default:
      return undefined;
  }
}

function prefixFault(field: string, prefixes: readonly string[]): NodeFault | undefined {
  if (prefixes.length > MAX_PREFIXES)
    return { error: `${field} has ${prefixes.length} entries, at most ${MAX_PREFIXES} are allowed` };
  const bad = prefixes.find((prefix) => !isPrefix(prefix));
  return bad === undefined ? undefined : { error: `${field} has "${bad.slice(0, 64)}", which is no address/bits` };
}

function latencies(wire: Readonly<Record<string, number>>): Map<string, number> {
  const usable = Object.entries(wire).filter(
    ([region, seconds]) => region.length <= 32 && Number.isFinite(seconds) && seconds >= 0,
  );
  return new Map(usable.slice(0, MAX_REGIONS));
}

function reasons(wire: Readonly<Record<number, string>>): Map<number, string> {
  const usable = Object.entries(wire).map(
    ([region, reason]) => [Number(region), reason.slice(0, MAX_REASON_LENGTH)] as const,
  );
  return new Map(usable.filter(([region]) => region > 0 && region <= MAX_REGION_ID).slice(0, MAX_REGIONS));
}

function isPrefix(text: string): boolean {
  const match = /^([0-9a-fA-F:.]{2,45})\/(\d{1,3})$/.exec(text);
  if (match === null) return false;
  const bits = Number(match[2]);
  return isIpv4(match[1]!) ? bits <= 32 : isIpv6(match[1]!) && bits <= 128;
}

function isAddrPort(text: string): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65535) return false;
  return match[1] === undefined ? isIpv4(match[2]!) : isIpv6(match[1]);
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

function isIpv6(text: string): boolean {
  const dotted = /^(.*:)([^:]*\.[^:]*)$/.exec(text);
  if (dotted !== null && !isIpv4(dotted[2]!)) return false;
  const groups = dotted === null ? text : `${dotted[1]}0:0`;
  const halves = groups.split("::");
  if (halves.length > 2) return false;
  const count = halves.reduce((sum, half) => sum + (half === "" ? 0 : half.split(":").length), 0);
  const wellFormed = halves.every(
    (half) => half === "" || half.split(":").every((group) => /^[0-9a-fA-F]{1,4}$/.test(group)),
  );
  return wellFormed && (halves.length === 2 ? count <= 7 : count === 8);
}
