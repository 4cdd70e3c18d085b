import { readFileSync } from "node:fs";
import {
  type DerpMap,
  defaultEmbeddedMap,
  derpMapOf,
  hasRelay,
  mergeDerpMaps,
  parseDerpMap,
  withoutStun,
} from "wg-userspace/derp/map";
import type { DerpConfig } from "../config-parse.ts";
import { ServerError } from "../errors.ts";

/** The relay map of this deployment by its settings. Throws ServerError when it cannot be used. */
export function deploymentRelayMap(config: DerpConfig, accessUrl: URL): DerpMap {
  const own = config.serverEnabled
    ? defaultEmbeddedMap({
        accessUrl: accessUrl.href,
        regionId: config.regionId,
        code: config.regionCode,
        name: config.regionName,
        stunAddresses: config.stunAddresses,
      })
    : derpMapOf([]);
  const extra = config.configPath === undefined ? derpMapOf([]) : readMap(config.configPath);
  const merged = mergeDerpMaps(own, extra);
  if ("error" in merged) throw unusable(config.configPath, merged.error);
  if (![...merged.map.regions.values()].some(hasRelay)) {
    throw unusable(config.configPath, "no relay: the embedded one is off and no other is configured");
  }
  return config.blockDirect ? withoutStun(merged.map) : merged.map;
}

function readMap(path: string): DerpMap {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw unusable(path, (error as Error).message);
  }
  const parsed = parseDerpMap(json);
  if ("error" in parsed) throw unusable(path, parsed.error);
  return parsed.map;
}

function unusable(path: string | undefined, why: string): ServerError {
  return new ServerError(
    "ERR_CONFIG",
    path === undefined ? "The relay map cannot be used" : `The relay map "${path}" cannot be used`,
    {
      why,
      nextSteps: ["correct --derp-config-path, or switch the embedded relay on with --derp-server-enable"],
    },
  );
}
