/**
 * The map of relays: Regions, each with Nodes in order of preference. The JSON form is that of Tailscale and Coder (Go
 * field names); in memory every field has a value and regions are a Map in the order of their ids.
 */
import { parseIp } from "../base/ip.ts";

/** Positive; fits 16 bits, since a peer on a relay is also written as address:region. */
export type RegionId = number;

export interface DerpMap {
  readonly regions: ReadonlyMap<RegionId, Region>;
  /** Factors on measured latency when a home is chosen; below 1 attracts. Regions that are absent have 1. */
  readonly regionScore: ReadonlyMap<RegionId, number>;
  readonly omitDefaultRegions: boolean;
}

export interface Region {
  readonly regionId: RegionId;
  readonly regionCode: string;
  readonly regionName: string;
  /** Served by the control plane itself: it is reached at the address of the control plane. */
  readonly embeddedRelay: boolean;
  /** Not to be chosen as a home. */
  readonly avoid: boolean;
  readonly nodes: readonly Node[];
}

export interface Node {
  /** Unique in the whole map. */
  readonly name: string;
  readonly regionId: RegionId;
  /** DNS name, and the name in its certificate unless certName says otherwise. */
  readonly hostName: string;
  readonly certName: string;
  /** A literal to use instead of DNS; "" asks DNS; anything else, such as "none", turns the family off. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** 0 means 3478, negative none. */
  readonly stunPort: number;
  readonly stunOnly: boolean;
  /** 0 means 443. */
  readonly derpPort: number;
  readonly insecureForTests: boolean;
  readonly forceHttp: boolean;
  readonly stunTestIp: string;
  readonly canPort80: boolean;
}

export type DerpMapResult = { readonly map: DerpMap } | { readonly error: string };

export const DEFAULT_EMBEDDED_REGION_ID = 999;
export const DEFAULT_STUN_PORT = 3478;
const MAX_REGION_ID = 65535;
const MAX_REGIONS = 1024;
const MAX_NODES = 64;
const MAX_TEXT = 255;
const HOST_NAME = /^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?$/;

/** A Node with everything but the given fields at its default. */
export function relayNode(fields: Pick<Node, "name" | "regionId" | "hostName"> & Partial<Node>): Node {
  return {
    certName: "",
    ipv4: "",
    ipv6: "",
    stunPort: 0,
    stunOnly: false,
    derpPort: 0,
    insecureForTests: false,
    forceHttp: false,
    stunTestIp: "",
    canPort80: false,
    ...fields,
  };
}

/** A map of the given regions. */
export function derpMapOf(regions: Iterable<Region>, regionScore: ReadonlyMap<RegionId, number> = new Map()): DerpMap {
  const sorted = [...regions].sort((a, b) => a.regionId - b.regionId);
  return {
    regions: new Map(sorted.map((region) => [region.regionId, region])),
    regionScore,
    omitDefaultRegions: false,
  };
}

/** Nodes of a region that relay. */
export function relayNodes(region: Region): readonly Node[] {
  return region.nodes.filter((node) => !node.stunOnly);
}

/** Whether a region can be a home. */
export function hasRelay(region: Region): boolean {
  return region.nodes.some((node) => !node.stunOnly);
}

/**
 * Reads parsed JSON. Never throws; the error is one sentence that names the path of the first bad field. Unknown fields are
 * ignored, and field names match without regard to case, as Go reads them.
 * @param options.allowNoRelay Accepts a map without any relay node.
 */
export function parseDerpMap(json: unknown, options: { readonly allowNoRelay?: boolean } = {}): DerpMapResult {
  try {
    const map = mapFrom(json);
    return validateDerpMap(map, options) ?? { map };
  } catch (error) {
    if (error instanceof FieldError) return { error: error.message };
    throw error;
  }
}

/**
 * What the types cannot express: unique names, matching ids, ranges, at least one relay. Undefined when the map is
 * valid.
 */
export function validateDerpMap(
  map: DerpMap,
  options: { readonly allowNoRelay?: boolean } = {},
): { readonly error: string } | undefined {
  const names = new Set<string>();
  if (map.regions.size > MAX_REGIONS)
    return { error: `Regions has ${map.regions.size} entries, at most ${MAX_REGIONS} are allowed` };
  if (map.regionScore.size > MAX_REGIONS) return { error: "HomeParams.RegionScore has too many entries" };
  for (const [id, score] of map.regionScore) {
    const at = `HomeParams.RegionScore[${id}]`;
    if (!isRegionId(id)) return { error: `${at}: the key is not a region id` };
    if (!Number.isFinite(score)) return { error: `${at} is ${score}, want a number` };
  }
  for (const [id, region] of map.regions) {
    const at = `Regions[${id}]`;
    if (!isRegionId(id)) return { error: `${at}: a region id is 1 to ${MAX_REGION_ID}` };
    if (region.regionId !== id) return { error: `${at}.RegionID is ${region.regionId}, want ${id} like its key` };
    if (region.nodes.length > MAX_NODES)
      return { error: `${at}.Nodes has ${region.nodes.length} entries, at most ${MAX_NODES} are allowed` };
    if (hasLongText(region)) return { error: `${at} has a text of more than ${MAX_TEXT} characters` };
    for (const [index, node] of region.nodes.entries()) {
      const nodeAt = `${at}.Nodes[${index}]`;
      if (node.regionId !== id) return { error: `${nodeAt}.RegionID is ${node.regionId}, want ${id} like its region` };
      if (hasLongText(node)) return { error: `${nodeAt} has a text of more than ${MAX_TEXT} characters` };
      if (node.name === "") return { error: `${nodeAt}.Name is empty` };
      if (names.has(node.name)) return { error: `${nodeAt}.Name "${node.name}" is used twice` };
      names.add(node.name);
      if (!isHost(node.hostName) && !(node.hostName === "" && hasLiteral(node)))
        return { error: `${nodeAt}.HostName "${node.hostName}" is not a host name` };
      if (!inRange(node.derpPort, 0, 65535))
        return { error: `${nodeAt}.DERPPort is ${node.derpPort}, want 0 to 65535` };
      if (!inRange(node.stunPort, -1, 65535))
        return { error: `${nodeAt}.STUNPort is ${node.stunPort}, want -1 to 65535` };
    }
  }
  if (!options.allowNoRelay && ![...map.regions.values()].some(hasRelay))
    return { error: "Regions contains no relay node: every node is STUNOnly or there is none" };
  return undefined;
}

/** The JSON form, for JSON.stringify, which leaves out the members that are undefined. */
export function derpMapToJson(map: DerpMap): Record<string, unknown> {
  const regions: Record<string, unknown> = {};
  for (const [id, region] of map.regions) regions[String(id)] = regionToJson(region);
  const scores = Object.fromEntries([...map.regionScore].map(([id, score]) => [String(id), score]));
  return {
    HomeParams: map.regionScore.size > 0 ? { RegionScore: scores } : undefined,
    Regions: regions,
    omitDefaultRegions: map.omitDefaultRegions || undefined,
  };
}

/**
 * Points every embedded region at the address at which we reach the control plane, which only we know. Apply to every
 * map received, before use. Throws TypeError when `accessUrl` is not an http or https URL.
 */
export function rewriteEmbedded(map: DerpMap, accessUrl: string): DerpMap {
  const { hostName, port, forceHttp } = parseAccessUrl(accessUrl);
  const rewritten = [...map.regions].map(([id, region]): [RegionId, Region] => {
    if (!region.embeddedRelay) return [id, region];
    const nodes = region.nodes.map((node) => (node.stunOnly ? node : { ...node, hostName, derpPort: port, forceHttp }));
    return [id, { ...region, nodes }];
  });
  return { ...map, regions: new Map(rewritten) };
}

/** Whether two maps lead to the same relays: order of nodes and scores do not count. */
export function derpMapEqual(a: DerpMap, b: DerpMap): boolean {
  if (a.regions.size !== b.regions.size || a.omitDefaultRegions !== b.omitDefaultRegions) return false;
  for (const [id, region] of a.regions) {
    const other = b.regions.get(id);
    if (other === undefined || canonical(region) !== canonical(other)) return false;
  }
  return true;
}

export interface EmbeddedMapOptions {
  readonly accessUrl: string;
  readonly regionId?: RegionId;
  readonly code?: string;
  readonly name?: string;
  /** `host` or `host:port`, each a region with STUN only. The single word "disable" in the list means none. */
  readonly stunAddresses?: readonly string[];
}

/** The map of a control plane that relays itself. Throws TypeError when an address is malformed. */
export function defaultEmbeddedMap(options: EmbeddedMapOptions): DerpMap {
  const regionId = options.regionId ?? DEFAULT_EMBEDDED_REGION_ID;
  const { hostName, port, forceHttp } = parseAccessUrl(options.accessUrl);
  const embedded: Region = {
    regionId,
    regionCode: options.code ?? "coder",
    regionName: options.name ?? "Coder Embedded Relay",
    embeddedRelay: true,
    avoid: false,
    nodes: [relayNode({ name: `${regionId}b`, regionId, hostName, derpPort: port, forceHttp, stunPort: -1 })],
  };
  const addresses = options.stunAddresses ?? [];
  if (addresses.includes("disable")) return derpMapOf([embedded]);
  return derpMapOf([embedded, ...addresses.map((address, index) => stunRegion(regionId + 1 + index, address))]);
}

/** The map of a node without direct paths: STUN regions and STUN-only nodes are removed, relays answer no STUN. */
export function withoutStun(map: DerpMap): DerpMap {
  const regions = [...map.regions.values()]
    .filter(hasRelay)
    .map((region) => ({ ...region, nodes: relayNodes(region).map((node) => ({ ...node, stunPort: -1 })) }));
  return { ...map, regions: new Map(regions.map((region) => [region.regionId, region])) };
}

/** Joins both maps; a region id that is in both is an error. */
export function mergeDerpMaps(base: DerpMap, extra: DerpMap): DerpMapResult {
  for (const id of extra.regions.keys())
    if (base.regions.has(id)) return { error: `Regions[${id}] exists in both relay maps, want different region ids` };
  const scores = new Map([...base.regionScore, ...extra.regionScore]);
  const map = {
    ...derpMapOf([...base.regions.values(), ...extra.regions.values()], scores),
    omitDefaultRegions: base.omitDefaultRegions || extra.omitDefaultRegions,
  };
  return validateDerpMap(map) ?? { map };
}

/** Host, port and scheme of an access URL. Throws TypeError for anything else. */
export function parseAccessUrl(url: string): { hostName: string; port: number; forceHttp: boolean } {
  const match =
    /^(https?):\/\/(?:[^@/?#\s]*@)?(?:\[([0-9a-fA-F:.]+)\]|([^:/?#@[\]\s]+))(?::([0-9]{1,5}))?(?:[/?#]|$)/i.exec(url);
  const hostName = match?.[2] ?? match?.[3] ?? "";
  const forceHttp = match?.[1]?.toLowerCase() === "http";
  const port = match?.[4] === undefined ? (forceHttp ? 80 : 443) : Number(match[4]);
  if (match === null || !isHost(hostName) || port < 1 || port > 65535)
    throw new TypeError(`access URL "${url}" is not of the form https://host[:port]`);
  return { hostName, port, forceHttp };
}

function stunRegion(regionId: RegionId, address: string): Region {
  return {
    regionId,
    regionCode: `coder_stun_${regionId}`,
    regionName: `Coder STUN ${regionId}`,
    embeddedRelay: false,
    avoid: false,
    nodes: [stunNode(`${regionId}stun0`, regionId, address)],
  };
}

/** A node that answers STUN and relays nothing, at `host` or `host:port`. Throws TypeError when the address is malformed. */
export function stunNode(name: string, regionId: RegionId, address: string): Node {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::([0-9]{1,5}))?$/.exec(address);
  const hostName = match?.[1] ?? match?.[2] ?? "";
  const stunPort = match?.[3] === undefined ? DEFAULT_STUN_PORT : Number(match[3]);
  if (match === null || !isHost(hostName) || stunPort < 1 || stunPort > 65535)
    throw new TypeError(`STUN address "${address}" is not of the form host:port`);
  return relayNode({ name, regionId, hostName, stunPort, stunOnly: true });
}

function regionToJson(region: Region): Record<string, unknown> {
  return {
    EmbeddedRelay: region.embeddedRelay,
    RegionID: region.regionId,
    RegionCode: region.regionCode,
    RegionName: region.regionName,
    Avoid: region.avoid || undefined,
    Nodes: region.nodes.map(nodeToJson),
  };
}

function nodeToJson(node: Node): Record<string, unknown> {
  return {
    Name: node.name,
    RegionID: node.regionId,
    HostName: node.hostName,
    CertName: node.certName || undefined,
    IPv4: node.ipv4 || undefined,
    IPv6: node.ipv6 || undefined,
    STUNPort: node.stunPort || undefined,
    STUNOnly: node.stunOnly || undefined,
    DERPPort: node.derpPort || undefined,
    InsecureForTests: node.insecureForTests || undefined,
    ForceHTTP: node.forceHttp || undefined,
    STUNTestIP: node.stunTestIp || undefined,
    CanPort80: node.canPort80 || undefined,
  };
}

function canonical(region: Region): string {
  const nodes = region.nodes.map((node) => JSON.stringify(nodeToJson(node))).sort();
  return JSON.stringify([regionToJson({ ...region, nodes: [] }), nodes]);
}

// --- reading JSON ---

class FieldError extends Error {}

type JsonObject = Readonly<Record<string, unknown>>;

function mapFrom(json: unknown): DerpMap {
  const root = asObject(json, "the relay map");
  const regionsJson = asObject(field(root, "Regions"), "Regions");
  const keys = Object.keys(regionsJson);
  if (keys.length > MAX_REGIONS)
    throw new FieldError(`Regions has ${keys.length} entries, at most ${MAX_REGIONS} are allowed`);
  const regions = keys.map((key) => regionFrom(regionsJson[key], key));
  const scores = new Map<RegionId, number>();
  const homeParams = field(root, "HomeParams");
  if (homeParams !== undefined && homeParams !== null) {
    const scoreJson = field(asObject(homeParams, "HomeParams"), "RegionScore") ?? {};
    for (const [key, score] of Object.entries(asObject(scoreJson, "HomeParams.RegionScore"))) {
      if (scores.size >= MAX_REGIONS) throw new FieldError("HomeParams.RegionScore has too many entries");
      const at = `HomeParams.RegionScore[${quoted(key)}]`;
      if (!/^[1-9][0-9]{0,4}$/.test(key)) throw new FieldError(`${at}: the key is not a region id`);
      if (typeof score !== "number" || !Number.isFinite(score))
        throw new FieldError(`${at} is ${kindOf(score)}, want a number`);
      scores.set(Number(key), score);
    }
  }
  return { ...derpMapOf(regions, scores), omitDefaultRegions: flag(root, "omitDefaultRegions", "omitDefaultRegions") };
}

function regionFrom(json: unknown, key: string): Region {
  const at = `Regions[${quoted(key)}]`;
  if (!/^[1-9][0-9]{0,4}$/.test(key)) throw new FieldError(`${at}: the key is not a region id`);
  const region = asObject(json, at);
  const nodes = field(region, "Nodes") ?? [];
  if (!Array.isArray(nodes)) throw new FieldError(`${at}.Nodes is ${kindOf(nodes)}, want an array`);
  if (nodes.length > MAX_NODES)
    throw new FieldError(`${at}.Nodes has ${nodes.length} entries, at most ${MAX_NODES} are allowed`);
  const regionId = integer(region, "RegionID", at, 0);
  if (regionId !== Number(key)) throw new FieldError(`${at}.RegionID is ${regionId}, want ${key} like its key`);
  return {
    regionId,
    regionCode: text(region, "RegionCode", at),
    regionName: text(region, "RegionName", at),
    embeddedRelay: flag(region, "EmbeddedRelay", at),
    avoid: flag(region, "Avoid", at),
    nodes: nodes.map((node: unknown, index) => nodeFrom(node, `${at}.Nodes[${index}]`)),
  };
}

function nodeFrom(json: unknown, at: string): Node {
  const node = asObject(json, at);
  return {
    name: text(node, "Name", at),
    regionId: integer(node, "RegionID", at, 0),
    hostName: text(node, "HostName", at),
    certName: text(node, "CertName", at),
    ipv4: text(node, "IPv4", at),
    ipv6: text(node, "IPv6", at),
    stunPort: Math.max(-1, integer(node, "STUNPort", at, 0)),
    stunOnly: flag(node, "STUNOnly", at),
    derpPort: integer(node, "DERPPort", at, 0),
    insecureForTests: flag(node, "InsecureForTests", at),
    forceHttp: flag(node, "ForceHTTP", at),
    stunTestIp: text(node, "STUNTestIP", at),
    canPort80: flag(node, "CanPort80", at),
  };
}

function field(object: JsonObject, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const wanted = name.toLowerCase();
  for (const key of Object.keys(object)) if (key.toLowerCase() === wanted) return object[key];
  return undefined;
}

function asObject(value: unknown, at: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new FieldError(`${at} is ${kindOf(value)}, want an object`);
  return value as JsonObject;
}

function text(object: JsonObject, name: string, at: string): string {
  const value = field(object, name) ?? "";
  if (typeof value !== "string") throw new FieldError(`${at}.${name} is ${kindOf(value)}, want a string`);
  if (value.length > MAX_TEXT)
    throw new FieldError(`${at}.${name} has ${value.length} characters, at most ${MAX_TEXT} are allowed`);
  return value;
}

function flag(object: JsonObject, name: string, at: string): boolean {
  const value = field(object, name) ?? false;
  if (typeof value !== "boolean")
    throw new FieldError(`${at === name ? name : `${at}.${name}`} is ${kindOf(value)}, want true or false`);
  return value;
}

function integer(object: JsonObject, name: string, at: string, otherwise: number): number {
  const value = field(object, name) ?? otherwise;
  if (typeof value !== "number" || !Number.isSafeInteger(value))
    throw new FieldError(`${at}.${name} is ${kindOf(value)}, want an integer`);
  return value;
}

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return quoted(value);
  return String(value);
}

function quoted(value: string): string {
  return `"${value.length > 40 ? `${value.slice(0, 40)}…` : value}"`;
}

function inRange(value: number, low: number, high: number): boolean {
  return Number.isInteger(value) && value >= low && value <= high;
}

function isRegionId(value: number): boolean {
  return inRange(value, 1, MAX_REGION_ID);
}

function hasLongText(fields: Region | Node): boolean {
  return Object.values(fields).some((value) => typeof value === "string" && value.length > MAX_TEXT);
}

function hasLiteral(node: Node): boolean {
  return parseIp(node.ipv4) !== undefined || parseIp(node.ipv6) !== undefined;
}

function isHost(name: string): boolean {
  return name.length <= 253 && (HOST_NAME.test(name) || parseIp(name) !== undefined);
}
