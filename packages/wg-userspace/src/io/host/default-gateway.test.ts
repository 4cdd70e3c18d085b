import { describe, expect, it } from "vitest";
import { formatIp } from "../../base/ip.ts";
import { type DefaultRoute, parseBsdRoute, parseProcNetRoute, parseWindowsRoutes } from "./default-gateway.ts";

const words = (route: DefaultRoute | undefined): string => {
  if (route === undefined) return "none";
  const by = route.self === undefined ? route.interfaceName! : formatIp(route.self);
  return `${formatIp(route.gateway)} ${by}`;
};

const LINUX_HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
const linux = (...rows: readonly string[]): string => LINUX_HEAD + rows.map((row) => `${row}\t0\t0\t0  \n`).join("");

describe("/proc/net/route", () => {
  it.each([
    ["one default route", linux("eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000"), "192.168.1.1 eth0"],
    [
      "the lower metric",
      linux(
        "wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000",
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000",
      ),
      "192.168.1.1 eth0",
    ],
    ["a route into a tunnel has no gateway", linux("tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000"), "none"],
    ["half of the Internet is no default", linux("tun0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000080"), "none"],
    ["a route that is down", linux("eth0\t00000000\t0101A8C0\t0002\t0\t0\t0\t00000000"), "none"],
    ["no routes", LINUX_HEAD, "none"],
    ["anything else", "eth0 00000000 zz\n\n\t\t\n00000000", "none"],
  ])("%s", (_case, text, expected) => {
    expect(words(parseProcNetRoute(text))).toBe(expected);
  });
});

const MAC = `   route to: default
destination: default
       mask: default
    gateway: 192.168.178.1
  interface: en0
      flags: <UP,GATEWAY,DONE,STATIC,PRCLONING,GLOBAL>
 recvpipe  sendpipe  ssthresh  rtt,msec    rttvar  hopcount      mtu     expire
       0         0         0         0         0         0      1500         0
`;

describe("route -n get default", () => {
  it.each([
    ["a router", MAC, "192.168.178.1 en0"],
    ["a tunnel", MAC.replace("192.168.178.1", "link#17"), "none"],
    ["an IPv6 router", MAC.replace("192.168.178.1", "fe80::1"), "none"],
    ["no interface", MAC.replace(/.*interface.*\n/, ""), "none"],
    ["no route", "route: writing to routing socket: not in table\n", "none"],
  ])("%s", (_case, text, expected) => {
    expect(words(parseBsdRoute(text))).toBe(expected);
  });
});

const WINDOWS = [
  "===========================================================================",
  "IPv4-Routentabelle",
  "Aktive Routen:",
  "     Netzwerkziel    Netzwerkmaske          Gateway    Schnittstelle Metrik",
  "          0.0.0.0          0.0.0.0       10.1.2.254        10.1.2.3     50",
  "          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.20     25",
  "        127.0.0.0        255.0.0.0   Auf Verbindung         127.0.0.1    331",
  "===========================================================================",
].join("\r\n");

describe("route print", () => {
  it.each([
    ["the lower metric", WINDOWS, "192.168.1.1 192.168.1.20"],
    ["a route on the link has no gateway", WINDOWS.replaceAll(/10\.1\.2\.254|192\.168\.1\.1 /g, "On-link "), "none"],
    ["a persistent route has no interface", "  0.0.0.0  0.0.0.0  192.168.1.1  Default", "none"],
    ["nothing", "", "none"],
  ])("%s", (_case, text, expected) => {
    expect(words(parseWindowsRoutes(text))).toBe(expected);
  });
});
