/** Which router our IPv4 packets leave by: read from the kernel on Linux, from the system's own tool elsewhere. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { promisify } from "node:util";
import { type IpAddress, ipFromBytes, isIpv4, parseIp, parsePrefix, prefixContains } from "../../base/ip.ts";

export interface DefaultGateway {
  readonly gateway: IpAddress;
  /** Our address on the interface that leads there. */
  readonly self: IpAddress;
}

/** A default route; Windows names our address on it, the others the interface. */
export interface DefaultRoute {
  readonly gateway: IpAddress;
  readonly interfaceName?: string;
  readonly self?: IpAddress;
}

const TOOL_MS = 1_000;
const MAX_OUTPUT = 1024 * 1024;
const UP_AND_GATEWAY = 0x0003;

/** Undefined when there is none, or when the system does not say. Never rejects. */
export async function findDefaultGateway(): Promise<DefaultGateway | undefined> {
  let route: DefaultRoute | undefined;
  try {
    route = await defaultRoute();
  } catch {
    return undefined; // no such file or tool: port mapping is an extra
  }
  if (route === undefined) return undefined;
  const self = route.self ?? addressTowards(route);
  return self === undefined ? undefined : { gateway: route.gateway, self };
}

async function defaultRoute(): Promise<DefaultRoute | undefined> {
  switch (process.platform) {
    case "linux":
    case "android":
      return parseProcNetRoute(await readFile("/proc/net/route", "latin1"));
    case "win32":
      return parseWindowsRoutes(await run("route", ["print", "-4", "0.0.0.0"]));
    default:
      return parseBsdRoute(await run("route", ["-n", "get", "default"]));
  }
}

async function run(tool: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(tool, args, {
    encoding: "latin1",
    timeout: TOOL_MS,
    maxBuffer: MAX_OUTPUT,
    windowsHide: true,
  });
  return stdout;
}

function addressTowards({ gateway, interfaceName }: DefaultRoute): IpAddress | undefined {
  const addresses = (networkInterfaces()[interfaceName ?? ""] ?? []).filter(({ family }) => family === "IPv4");
  const near = addresses.find(({ cidr }) => {
    const prefix = cidr === null ? undefined : parsePrefix(cidr);
    return prefix !== undefined && prefixContains(prefix, gateway);
  });
  return parseIp((near ?? addresses[0])?.address ?? "");
}

/** `/proc/net/route` of Linux, addresses as little-endian hexadecimal. The route with the lowest metric counts. */
export function parseProcNetRoute(text: string): DefaultRoute | undefined {
  let best: DefaultRoute | undefined;
  let bestMetric = Number.POSITIVE_INFINITY;
  for (const line of text.split("\n")) {
    const [interfaceName, destination, gateway, flags, , , metricText, mask] = line.trim().split(/\s+/);
    if (interfaceName === undefined || destination !== "00000000" || mask !== "00000000") continue;
    if (!/^[0-9A-Fa-f]{8}$/.test(gateway ?? "") || gateway === "00000000") continue;
    const metric = Number(metricText);
    if ((Number.parseInt(flags ?? "", 16) & UP_AND_GATEWAY) !== UP_AND_GATEWAY || !(metric < bestMetric)) continue;
    const bytes = Uint8Array.from([6, 4, 2, 0], (at) => Number.parseInt(gateway!.slice(at, at + 2), 16));
    best = { gateway: ipFromBytes(bytes), interfaceName };
    bestMetric = metric;
  }
  return best;
}

/** Answer of `route -n get default` on macOS and the BSDs. */
export function parseBsdRoute(text: string): DefaultRoute | undefined {
  const field = (name: string): string =>
    new RegExp(`^[ \\t]*${name}:[ \\t]*(\\S+)[ \\t\\r]*$`, "m").exec(text)?.[1] ?? "";
  const gateway = parseIp(field("gateway"));
  const interfaceName = field("interface");
  if (gateway === undefined || !isIpv4(gateway) || interfaceName === "") return undefined;
  return { gateway, interfaceName };
}

/** Answer of `route print` on Windows, in any language: the rows have five columns. The lowest metric counts. */
export function parseWindowsRoutes(text: string): DefaultRoute | undefined {
  let best: DefaultRoute | undefined;
  let bestMetric = Number.POSITIVE_INFINITY;
  for (const line of text.split(/\r?\n/)) {
    const [destination, mask, gatewayText, selfText, metricText, ...more] = line.trim().split(/\s+/);
    if (destination !== "0.0.0.0" || mask !== "0.0.0.0" || more.length > 0) continue;
    const gateway = parseIp(gatewayText ?? "");
    const self = parseIp(selfText ?? "");
    const metric = /^[0-9]+$/.test(metricText ?? "") ? Number(metricText) : Number.NaN;
    if (gateway === undefined || self === undefined || !isIpv4(gateway) || !isIpv4(self)) continue;
    if (!(metric < bestMetric)) continue;
    best = { gateway, self };
    bestMetric = metric;
  }
  return best;
}
