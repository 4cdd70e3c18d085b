import { matchesHost } from "../base/host-pattern.ts";
import { parseWildcard, type Wildcard } from "../base/wildcard.ts";
import type { FlagReader } from "./flag-reader.ts";

/** Host names of the server itself must not cover those of apps, because an app would then share the server's origin. */
export function wildcardAccessUrl(
  read: FlagReader,
  text: string,
  allowedHosts: readonly string[],
): Wildcard | undefined {
  if (text === "") return undefined;
  const parsed = parseWildcard(text);
  if ("error" in parsed) throw read.invalid("wildcard-access-url", parsed.error);
  const covering = allowedHosts.find((pattern) => matchesHost(pattern, `app${parsed.suffix}`));
  if (covering !== undefined) {
    throw read.invalid("allowed-hosts", `must not cover the hosts of --wildcard-access-url, but "${covering}" does`);
  }
  return parsed;
}
