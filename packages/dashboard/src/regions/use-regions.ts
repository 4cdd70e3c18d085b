import { useEffect } from "preact/hooks";
import { regions } from "./regions.ts";

/** Follows the regions while the page is shown. */
export function useRegions(): void {
  useEffect(() => {
    const life = new AbortController();
    regions.start(life.signal);
    return () => life.abort();
  }, []);
}
