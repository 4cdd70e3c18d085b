/** The relay map between its protobuf form and the engine's. `omitDefaultRegions` does not exist in protobuf. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type DerpMap, type DerpMapResult, type Node, type Region, validateDerpMap } from "wg-userspace/derp/map";
import type { DERPMap, DERPMapSchema } from "../gen/tailnet_pb.ts";

type RegionMessage = DERPMap["regions"][string];
type NodeMessage = RegionMessage["nodes"][number];

/** home_params is always set, even when it is empty: Go peers crash without it. */
export function derpMapToProto(map: DerpMap): MessageInitShape<typeof DERPMapSchema> {
  return {
    homeParams: { regionScore: Object.fromEntries(map.regionScore) },
    regions: Object.fromEntries([...map.regions].map(([id, region]) => [id, regionToProto(region)])),
  };
}

/** Validates like {@link validateDerpMap}. Ids beyond 2^53 lose precision, and are out of range in any case. */
export function derpMapFromProto(message: DERPMap): DerpMapResult {
  const regions = Object.entries(message.regions).map(([id, region]) => [Number(id), regionFromProto(region)] as const);
  const scores = Object.entries(message.homeParams?.regionScore ?? {});
  const map: DerpMap = {
    regions: new Map(regions.sort(([a], [b]) => a - b)),
    regionScore: new Map(scores.map(([id, score]) => [Number(id), score])),
    omitDefaultRegions: false,
  };
  return validateDerpMap(map) ?? { map };
}

function regionToProto(region: Region) {
  return {
    ...region,
    regionId: BigInt(region.regionId),
    nodes: region.nodes.map((node) => ({ ...node, regionId: BigInt(node.regionId) })),
  };
}

function regionFromProto({ regionCode, regionName, embeddedRelay, avoid, ...region }: RegionMessage): Region {
  return {
    regionId: Number(region.regionId),
    regionCode,
    regionName,
    embeddedRelay,
    avoid,
    nodes: region.nodes.map(nodeFromProto),
  };
}

function nodeFromProto({ $typeName, $unknown, regionId, stunPort, ...node }: NodeMessage): Node {
  return { ...node, regionId: Number(regionId), stunPort: Math.max(-1, stunPort) };
}
