/** Network namespaces of a bench, with the same kernel settings on every machine. */
import { readFileSync } from "node:fs";
import { type Host, HostPair } from "../../packages/wg-userspace/test/interop/namespaces.ts";
import { missingPrograms } from "./processes.ts";
import type { Hosts } from "./streams.ts";

const SUBNET = "192.0.2.0/24";

/** What namespaces of a bench need and this machine lacks. */
export function hostsNeeds(): string[] {
  const missing = missingPrograms("ip", "sysctl");
  if (process.getuid?.() !== 0) missing.push("root");
  if (!controllers().includes("cubic")) missing.push("CUBIC in the kernel");
  return missing;
}

/** Words before a command that runs on that host; none for this machine itself. */
export function inside(host: Host | undefined): readonly string[] {
  return host === undefined ? [] : ["ip", "netns", "exec", host.name];
}

/** Two hosts on a veth pair of MTU 1500, until `owned` is disposed. */
export function openHosts(owned: AsyncDisposableStack): HostPair {
  const hosts = new HostPair();
  owned.defer(() => hosts.close());
  useCubic(hosts);
  return hosts;
}

/**
 * CUBIC, without cached metrics: the kernel would remember the path of the last connection. Set by route, since a
 * namespace may choose only what the whole machine allows by default.
 */
function useCubic({ left, right }: Hosts): void {
  for (const host of [left, right]) {
    host.run("sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1");
    routeByCubic(host, SUBNET, "eth0");
  }
}

/** Connections to the subnet, in either direction, use CUBIC. */
export function routeByCubic(host: Host, subnet: string, device: string): void {
  host.run("ip", "route", "replace", subnet, "dev", device, "congctl", "cubic");
}

function controllers(): string[] {
  try {
    return readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "utf8").trim().split(" ");
  } catch {
    return [];
  }
}
