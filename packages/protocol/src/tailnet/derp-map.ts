/**
 * The relay map between its protobuf form and its JSON form (Go field names). Nothing is judged here: whoever takes a map from
 * the JSON form validates it. `omitDefaultRegions` does not exist in protobuf.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DERPMap, DERPMapSchema } from "../gen/tailnet_pb.ts";

export interface DerpMapJson {
  readonly HomeParams?: { readonly RegionScore?: Readonly<Record<string, number>> };
  /** By decimal region id. */
  readonly Regions: Readonly<Record<string, DerpRegionJson>>;
  readonly omitDefaultRegions?: boolean;
}

export interface DerpRegionJson {
  readonly EmbeddedRelay: boolean;
  readonly RegionID: number;
  readonly RegionCode: string;
  readonly RegionName: string;
  readonly Avoid?: boolean;
  readonly Nodes: readonly DerpNodeJson[];
}

/** Fields at their zero value are left out, but for the first three. */
export interface DerpNodeJson {
  readonly Name: string;
  readonly RegionID: number;
  readonly HostName: string;
  readonly CertName?: string;
  readonly IPv4?: string;
  readonly IPv6?: string;
  readonly STUNPort?: number;
  readonly STUNOnly?: boolean;
  readonly DERPPort?: number;
  readonly InsecureForTests?: boolean;
  readonly ForceHTTP?: boolean;
  readonly STUNTestIP?: string;
  readonly CanPort80?: boolean;
}

type RegionMessage = DERPMap["regions"][string];
type NodeMessage = RegionMessage["nodes"][number];

/** Ids beyond 2^53 lose precision; no map has such. */
export function derpMapFromProto(map: DERPMap): DerpMapJson {
  const scores = Object.entries(map.homeParams?.regionScore ?? {});
  return {
    ...(scores.length === 0 ? {} : { HomeParams: { RegionScore: Object.fromEntries(scores) } }),
    Regions: Object.fromEntries(Object.entries(map.regions).map(([id, region]) => [id, regionFromProto(region)])),
  };
}

/** home_params is always set, even empty: Go peers crash without it. */
export function derpMapToProto(map: DerpMapJson): MessageInitShape<typeof DERPMapSchema> {
  return {
    homeParams: { regionScore: { ...map.HomeParams?.RegionScore } },
    regions: Object.fromEntries(Object.entries(map.Regions).map(([id, region]) => [id, regionToProto(region)])),
  };
}

function regionFromProto(region: RegionMessage): DerpRegionJson {
  return {
    EmbeddedRelay: region.embeddedRelay,
    RegionID: Number(region.regionId),
    RegionCode: region.regionCode,
    RegionName: region.regionName,
    ...(region.avoid ? { Avoid: true } : {}),
    Nodes: region.nodes.map(nodeFromProto),
  };
}

function nodeFromProto(node: NodeMessage): DerpNodeJson {
  return {
    Name: node.name,
    RegionID: Number(node.regionId),
    HostName: node.hostName,
    ...(node.certName === "" ? {} : { CertName: node.certName }),
    ...(node.ipv4 === "" ? {} : { IPv4: node.ipv4 }),
    ...(node.ipv6 === "" ? {} : { IPv6: node.ipv6 }),
    ...(node.stunPort === 0 ? {} : { STUNPort: node.stunPort }),
    ...(node.stunOnly ? { STUNOnly: true } : {}),
    ...(node.derpPort === 0 ? {} : { DERPPort: node.derpPort }),
    ...(node.insecureForTests ? { InsecureForTests: true } : {}),
    ...(node.forceHttp ? { ForceHTTP: true } : {}),
    ...(node.stunTestIp === "" ? {} : { STUNTestIP: node.stunTestIp }),
    ...(node.canPort80 ? { CanPort80: true } : {}),
  };
}

function regionToProto(region: DerpRegionJson) {
  return {
    regionId: BigInt(region.RegionID),
    embeddedRelay: region.EmbeddedRelay,
    regionCode: region.RegionCode,
    regionName: region.RegionName,
    avoid: region.Avoid ?? false,
    nodes: region.Nodes.map((node) => ({
      name: node.Name,
      regionId: BigInt(node.RegionID),
      hostName: node.HostName,
      certName: node.CertName ?? "",
      ipv4: node.IPv4 ?? "",
      ipv6: node.IPv6 ?? "",
      stunPort: node.STUNPort ?? 0,
      stunOnly: node.STUNOnly ?? false,
      derpPort: node.DERPPort ?? 0,
      insecureForTests: node.InsecureForTests ?? false,
      forceHttp: node.ForceHTTP ?? false,
      stunTestIp: node.STUNTestIP ?? "",
      canPort80: node.CanPort80 ?? false,
    })),
  };
}
