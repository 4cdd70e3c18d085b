import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { InterfaceFact } from "coder-client/diagnosis/facts";

/** The machine's network interfaces except loopback. The MTU is 0 where the system does not report it. */
export function localInterfaces(): InterfaceFact[] {
  return Object.entries(networkInterfaces())
    .filter(([, addresses]) => addresses?.some(({ internal }) => !internal))
    .map(([name, addresses]) => ({
      name,
      mtu: mtuOf(name),
      addresses: (addresses ?? []).map(({ cidr, address }) => cidr ?? address),
    }));
}

function mtuOf(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/mtu`, "utf8")) || 0;
  } catch {
    return 0; // not Linux: Node cannot tell the MTU
  }
}
