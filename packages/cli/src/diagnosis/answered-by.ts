import type { DerpMap } from "wg-userspace/derp/map";

/** The server of several that answered, and its region: for a look into its log. Empty where it does not name itself. */
export function answeredByLines(replica: string | undefined, map: DerpMap | undefined): string[] {
  if (replica === undefined) return [];
  const region = [...(map?.regions.values() ?? [])].find(({ embeddedRelay }) => embeddedRelay);
  const where = region === undefined ? "" : `, region ${region.regionId} "${region.regionName}"`;
  return [`The deployment answered by its server ${replica}${where}.`];
}
