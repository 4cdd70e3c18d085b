import { networkInterfaces } from "node:os";
import type { Instant } from "../../base/instant.ts";

/**
 * Bridges and virtual Ethernet pairs of container engines and hypervisors. They come and go with every container of a busy host,
 * and no connection leaves the machine through them.
 */
const OF_CONTAINERS =
  /^(docker|br-[0-9a-f]{12}$|virbr|veth|vnet|cni|cbr|flannel|cali|cilium|kube|lxc|lxd|podman|nerdctl|vmnet|vboxnet)/;
/** An address that goes this often within the time below is unsteady. */
const UNSTEADY_LOSSES = 3;
const UNSTEADY_MS = 60_000;
/** Lost addresses remembered; the one that was lost longest ago is forgotten first. */
const MAX_LOST = 256;

/** An interface and an address of it, such as `eth0 192.0.2.1/24`. */
export type OwnAddress = string;

/** Without loopback, link-local and container addresses: they say nothing about the ways out of this machine. */
export function ownAddresses(): OwnAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    OF_CONTAINERS.test(name)
      ? []
      : (addresses ?? [])
          .filter((one) => !one.internal && !one.address.startsWith("fe80:"))
          .map((one) => `${name} ${one.cidr}`),
  );
}

/**
 * What happened to our addresses.
 *
 * - `moved`: one is gone, and with it the connections that used it.
 * - `added`: there is another one.
 * - `unsteady`: only such ones came or went that do so all the time. What is in use may be affected, but giving everything up
 *   each time would leave nothing in use for long.
 */
export type AddressChange = "moved" | "added" | "unsteady";

/** Compares our addresses with those of the last look. Pure but for its memory. */
export class AddressWatch {
  #known: ReadonlySet<OwnAddress>;
  /** When each address was lost, the latest times only. */
  readonly #losses = new Map<OwnAddress, Instant[]>();

  constructor(addresses: Iterable<OwnAddress>) {
    this.#known = new Set(addresses);
  }

  look(addresses: Iterable<OwnAddress>, now: Instant): AddressChange | undefined {
    const [before, after] = [this.#known, new Set(addresses)];
    this.#known = after;
    const lost = [...before].filter((one) => !after.has(one));
    const added = [...after].filter((one) => !before.has(one));
    if (lost.length + added.length === 0) return undefined;
    for (const address of lost) this.#lose(address, now);
    const isSteady = (address: OwnAddress): boolean => !this.#isUnsteady(address, now);
    if (lost.some(isSteady)) return "moved";
    return added.some(isSteady) ? "added" : "unsteady";
  }

  #lose(address: OwnAddress, now: Instant): void {
    const times = this.#losses.get(address) ?? [];
    times.push(now);
    if (times.length > UNSTEADY_LOSSES) times.shift();
    this.#losses.delete(address);
    this.#losses.set(address, times);
    const [oldest] = this.#losses.keys();
    if (this.#losses.size > MAX_LOST && oldest !== undefined) this.#losses.delete(oldest);
  }

  #isUnsteady(address: OwnAddress, now: Instant): boolean {
    const times = this.#losses.get(address);
    return times?.length === UNSTEADY_LOSSES && now - times[0]! <= UNSTEADY_MS;
  }
}
