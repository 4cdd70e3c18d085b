import { networkInterfaces } from "node:os";

/**
 * Text that changes when an interface or address comes or goes. Loopback and link-local addresses do not count: the latter come
 * and go with every container of a busy host and are useless as a path.
 */
export function interfaceFingerprint(): string {
  return Object.entries(networkInterfaces())
    .flatMap(([name, addresses]) =>
      (addresses ?? [])
        .filter((one) => !one.internal && !one.address.startsWith("fe80:"))
        .map((one) => `${name} ${one.cidr}`),
    )
    .sort()
    .join(",");
}

/** Whether an address of the earlier fingerprint is missing in the later one. */
export function addressesLost(before: string, after: string): boolean {
  const left = new Set(after.split(","));
  return before.split(",").some((one) => one !== "" && !left.has(one));
}
