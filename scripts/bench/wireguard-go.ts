/** wireguard-go at both ends of a veth pair, between our two plain peers: needs root, its namespaces are its own. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "../../packages/wg-userspace/test/interop/namespaces.ts";
import { hostsNeeds, openHosts, routeByCubic } from "./hosts.ts";
import { endProcess, missingPrograms } from "./processes.ts";
import { type Hosts, plainPair, type StreamPair } from "./streams.ts";

const PORT = 51820;
const MTU = 1280;
const INNER = { near: "fd00:77::1", far: "fd00:77::2" };
const INNER_SUBNET = "fd00:77::/64";
const READY_WITHIN_MS = 5_000;

export interface WireguardPair extends StreamPair {
  readonly hosts: Hosts;
  /** Address of the far side, inside the tunnel. */
  readonly farAddress: string;
  setMtu(mtu: number): void;
}

export function wireguardNeeds(): string[] {
  return [...hostsNeeds(), ...missingPrograms("wg")];
}

/** @param program wireguard-go of the system, or another version of it. The MTU is 1280 until it is set. */
export async function wireguardGoPair(program = "wireguard-go"): Promise<WireguardPair> {
  await using owned = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "bench-wg-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  const hosts = openHosts(owned);
  const start = (host: Host): Promise<DeviceKeys> => startDevice(host, program, folder, owned);
  const [near, far] = [await start(hosts.left), await start(hosts.right)];
  configure(hosts.left, near, { publicKey: far.publicKey, inner: INNER.far, outer: hosts.right.address }, INNER.near);
  configure(hosts.right, far, { publicKey: near.publicKey, inner: INNER.near, outer: hosts.left.address }, INNER.far);
  const pair = await plainPair({ listenHost: "::", hosts }, async (farPort) => ({ host: INNER.far, port: farPort }));
  owned.use(pair);
  const moved = owned.move();
  return {
    ...pair,
    hosts,
    farAddress: INNER.far,
    setMtu(mtu) {
      for (const host of [hosts.left, hosts.right]) host.run("ip", "link", "set", host.name, "mtu", String(mtu));
    },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

interface DeviceKeys {
  readonly keyFile: string;
  readonly publicKey: string;
}

/** The interface has its host's name: control sockets of all namespaces lie in one folder. */
async function startDevice(
  host: Host,
  program: string,
  folder: string,
  owned: AsyncDisposableStack,
): Promise<DeviceKeys> {
  const privateKey = execFileSync("wg", ["genkey"], { encoding: "utf8" });
  const keyFile = join(folder, host.name);
  writeFileSync(keyFile, privateKey, { mode: 0o600 });
  const device = host.start(program, "-f", host.name);
  device.stdout!.resume();
  owned.defer(() => endProcess(device)); // on SIGTERM it removes its control socket
  for (const end = performance.now() + READY_WITHIN_MS; ; await sleep(50)) {
    try {
      host.run("wg", "show", host.name);
      break;
    } catch (error) {
      if (performance.now() > end) throw error;
    }
  }
  return { keyFile, publicKey: execFileSync("wg", ["pubkey"], { input: privateKey, encoding: "utf8" }).trim() };
}

function configure(
  host: Host,
  own: DeviceKeys,
  peer: { readonly publicKey: string; readonly inner: string; readonly outer: string },
  inner: string,
): void {
  host.run(
    ...(["wg", "set", host.name, "listen-port", String(PORT), "private-key", own.keyFile] as const),
    ...["peer", peer.publicKey, "allowed-ips", `${peer.inner}/128`, "endpoint", `${peer.outer}:${PORT}`],
  );
  host.run("ip", "addr", "add", `${inner}/64`, "dev", host.name, "nodad");
  host.run("ip", "link", "set", host.name, "mtu", String(MTU), "up");
  routeByCubic(host, INNER_SUBNET, host.name);
}
