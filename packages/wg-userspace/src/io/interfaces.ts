import { networkInterfaces } from "node:os";

/** Text that changes when an interface or address comes or goes. Loopback does not count. */
export function interfaceFingerprint(): string {
  return Object.entries(networkInterfaces())
    .flatMap(([name, addresses]) =>
      (addresses ?? []).filter((one) => !one.internal).map((one) => `${name} ${one.cidr}`),
    )
    .sort()
    .join(",");
}
