/** A host behind a router and one outside, in namespaces: 10.7.0.2 — 10.7.0.1 [router] 45.33.7.1 — 45.33.7.2 and .3. */
import { execFileSync } from "node:child_process";
import { Host } from "./namespaces.ts";

export const ROUTER_LAN = "10.7.0.1";
/** Looks public, as miniupnpd demands; nothing leaves the namespaces, so no real host is affected. */
export const ROUTER_WAN = "45.33.7.1";
export const OUTSIDE = ["45.33.7.2", "45.33.7.3"] as const;

export class NatRouter {
  readonly inside: Host;
  readonly router: Host;
  readonly outside: Host;

  constructor() {
    const tag = `${process.pid % 100_000}x${Math.floor(Math.random() * 1000)}`;
    this.inside = new Host(`nri${tag}`, "10.7.0.2");
    this.router = new Host(`nrr${tag}`, ROUTER_LAN);
    this.outside = new Host(`nro${tag}`, OUTSIDE[0]);
    for (const { name } of this.#hosts) {
      ip("netns", "add", name);
      ip("-n", name, "link", "set", "lo", "up");
    }
    this.#join(this.inside, "lan", [this.inside.address]);
    this.#join(this.outside, "wan", OUTSIDE);
    ip("-n", this.router.name, "addr", "add", `${ROUTER_LAN}/24`, "dev", "lan");
    ip("-n", this.router.name, "addr", "add", `${ROUTER_WAN}/24`, "dev", "wan");
    ip("-n", this.inside.name, "route", "add", "default", "via", ROUTER_LAN);
    this.router.run("sysctl", "-qw", "net.ipv4.ip_forward=1");
  }

  /** Adds rules to the router. */
  nft(script: string): void {
    execFileSync("ip", ["netns", "exec", this.router.name, "nft", "-f", "-"], {
      input: script,
      stdio: ["pipe", "ignore", "inherit"],
    });
  }

  async close(): Promise<void> {
    for (const host of this.#hosts) await host.close();
    for (const { name } of this.#hosts) ip("netns", "del", name);
  }

  get #hosts(): Host[] {
    return [this.inside, this.router, this.outside];
  }

  #join(host: Host, device: string, addresses: readonly string[]): void {
    const end = ["peer", "name", device, "netns", this.router.name];
    ip("-n", host.name, "link", "add", "eth0", "type", "veth", ...end);
    for (const address of addresses) ip("-n", host.name, "addr", "add", `${address}/24`, "dev", "eth0");
    ip("-n", host.name, "link", "set", "eth0", "up");
    ip("-n", this.router.name, "link", "set", device, "up");
  }
}

function ip(...args: readonly string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] });
}
