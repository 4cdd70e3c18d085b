/** The regions of this browser. */
import { ApiError } from "../api/client.ts";
import { listRegions } from "../api/regions.ts";
import { parseChoice } from "./region-choice.ts";
import { RegionFollower } from "./region-follower.ts";
import { regionLatency } from "./region-latency.ts";

const KEY = "coder-region";

export const regions = new RegionFollower({
  load: async (signal) => {
    try {
      const [primary, ...proxies] = await listRegions(signal);
      // The page may be open at another host name of the deployment than its access URL.
      if (primary === undefined) return [];
      // A proxy that has never registered has no address.
      const placed = proxies.filter(({ path_app_url: url }) => url !== "");
      return [{ ...primary, path_app_url: location.origin }, ...placed];
    } catch (error) {
      if (signal.aborted || error instanceof ApiError) return undefined;
      throw error;
    }
  },
  latency: (region, signal) => regionLatency(region.path_app_url, signal),
  read: () => {
    try {
      return parseChoice(localStorage.getItem(KEY));
    } catch {
      return undefined; // storage is disabled
    }
  },
  write: (choice) => {
    try {
      if (choice === undefined) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, JSON.stringify(choice));
    } catch {
      // Storage is disabled or full: the choice applies until the page is left.
    }
  },
});
