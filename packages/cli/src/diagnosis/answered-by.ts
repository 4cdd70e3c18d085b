import type { DerpMap } from "wg-userspace/derp/map";

/** Names the server that answered and its region, so that its log can be found. Empty when the server did not name itself. */
export function answeredByLines(replica: string | undefined, map: DerpMap | undefined): string[] {
  if (replica === undefined) return [];
  const region = [...(map?.regions.values() ?? [])].find(({ embeddedRelay }) => embeddedRelay);
  const where = region === undefined ? "" : `, region ${region.regionId} "${region.regionName}"`;
  return [`The deployment answered by its server ${replica}${where}.`];
}
