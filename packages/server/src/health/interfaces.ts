/** Section `interfaces`: network interfaces whose MTU is too small for a tunnel. */
import { readdir, readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { SAFE_INTERFACE_MTU } from "coder-protocol/interface-mtu";
import { message, type Section, works } from "./section.ts";

const MAX_INTERFACES = 256;

export interface InterfacesSection extends Section {
  readonly interfaces: readonly {
    readonly name: string;
    readonly mtu: number;
    readonly addresses: readonly string[];
  }[];
}

/**
 * Interfaces that are up and have an address, with their MTU. Linux lists them in a folder; on other systems Node has no way to
 * ask, and the list is empty.
 */
export async function checkInterfaces(folder = "/sys/class/net"): Promise<InterfacesSection> {
  const addresses = networkInterfaces();
  const interfaces: { name: string; mtu: number; addresses: string[] }[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (interfaces.length >= MAX_INTERFACES) break;
    const text = await readFile(join(folder, name, "mtu"), "utf8").catch(() => "");
    const mtu = Number(text.trim());
    if (text === "" || !Number.isInteger(mtu)) continue;
    const own = addresses[name] ?? [];
    interfaces.push({ name, mtu, addresses: own.flatMap((one) => one.cidr ?? []) });
  }
  const small = interfaces.filter((one) => one.mtu < SAFE_INTERFACE_MTU && one.addresses.length > 0);
  return {
    ...works(
      small.map((one) =>
        message(
          "EIF01",
          `Network interface ${one.name} has MTU ${one.mtu}, less than ${SAFE_INTERFACE_MTU}: direct connections over it may degrade ` +
            "or hang",
        ),
      ),
    ),
    interfaces,
  };
}
