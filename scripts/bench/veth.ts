/**
 * One bulk TCP stream between two network namespaces on a veth pair of MTU 1500: our engine, wireguard-go as packaged
 * by Debian and at its current version, and no tunnel at all, in turn.
 */
import { hostsNeeds, openHosts } from "./hosts.ts";
import { Iperf } from "./iperf.ts";
import { missingPrograms } from "./processes.ts";
import { goProgram, nativeMissing } from "./programs.ts";
import { type Bench, Rounds } from "./report.ts";
import { type Direction, enginePair, type Hosts, plainPair, type StreamPair } from "./streams.ts";
import { wireguardGoPair, wireguardNeeds } from "./wireguard-go.ts";

/** The minimum that every path carries, and the maximum that an Ethernet path of 1500 carries over IPv6. */
const MTUS = [1280, 1420];
const FULL_MTU = 1420;
const DEBIAN = "wireguard-go of the system";
const CURRENT = "wireguard-go of today";

type Measure = (direction: Direction, seconds: number) => Promise<number>;

interface Contestants {
  readonly owned: AsyncDisposableStack;
  readonly missing: string[];
  /** In the order in which they take their turns. */
  readonly measures: Map<string, Measure>;
}

export const vethBench: Bench = async ({ rounds, seconds, profileFolder, progress }) => {
  const measured = new Rounds();
  await using owned = new AsyncDisposableStack();
  const contestants: Contestants = { owned, missing: [], measures: new Map() };
  const needs = hostsNeeds();
  if (needs.length > 0) contestants.missing.push(`all of it: needs ${needs.join(", ")}`);
  else {
    const hosts = openHosts(owned);
    await addEngines(contestants, hosts, profileFolder);
    await addWireguard(contestants, DEBIAN, wireguardNeeds().concat(missingPrograms("wireguard-go")), "wireguard-go");
    const current = await goProgram("wireguard-go", "golang.zx2c4.com/wireguard");
    if ("path" in current) await addWireguard(contestants, CURRENT, wireguardNeeds(), current.path);
    else contestants.missing.push(`${CURRENT}: needs ${current.missing}`);
    await addPlain(contestants, hosts);
  }

  for (let round = 0; round < rounds; round++) {
    progress(`veth, round ${round + 1} of ${rounds}`);
    for (const direction of ["up", "down"] as const) {
      for (const [name, measure] of contestants.measures) {
        measured.add(name, await measure(direction, seconds), "Gbit/s", { better: "higher" });
      }
    }
  }
  return {
    figures: measured.figures(),
    ratios: [true, false].flatMap((native) =>
      MTUS.flatMap((mtu) => {
        const others = [DEBIAN, CURRENT].flatMap((name) => [pumped(name, mtu), byIperf(name, mtu)]);
        return measured.against(ours(mtu, native), ...others, "no tunnel");
      }),
    ),
    missing: contestants.missing,
    notes: [
      `one stream, one direction at a time, ${seconds} s each, both ends on this machine, CUBIC in the kernel's TCP`,
      "iperf3 counts whole seconds after one that it does not count; all others use the same pump on Node",
    ],
  };
};

const ours = (mtu: number, native: boolean): string => `our engine${native ? "" : ", plain npm"}, MTU ${mtu}`;
const pumped = (name: string, mtu: number): string => `${name}, MTU ${mtu}`;
const byIperf = (name: string, mtu: number): string => `${name}, MTU ${mtu}, by iperf3`;

async function addEngines(
  { owned, missing, measures }: Contestants,
  hosts: Hosts,
  profileFolder: string | undefined,
): Promise<void> {
  const needs = await nativeMissing();
  for (const mtu of MTUS) {
    for (const native of [true, false]) {
      const name = ours(mtu, native);
      if (native && needs.length > 0) missing.push(`${name}: needs ${needs.join(", ")}`);
      else measures.set(name, rateOf(owned.use(await enginePair({ hosts, mtu, native, profileFolder }))));
    }
  }
}

/** Measures by our pump, and by iperf3, which shows whether Node's sockets were the limit. */
async function addWireguard(
  { owned, missing, measures }: Contestants,
  name: string,
  needs: readonly string[],
  program: string,
): Promise<void> {
  if (needs.length > 0) return void missing.push(`${name}: needs ${needs.join(", ")}`);
  const pair = owned.use(await wireguardGoPair(program));
  const withMtu =
    (mtu: number, measure: Measure): Measure =>
    (direction, seconds) => {
      pair.setMtu(mtu);
      return measure(direction, seconds);
    };
  for (const mtu of MTUS) measures.set(pumped(name, mtu), withMtu(mtu, rateOf(pair)));
  if (missingPrograms("iperf3").length > 0) return void missing.push(`${byIperf(name, FULL_MTU)}: needs iperf3`);
  const iperf = new Iperf(pair.hosts, pair.farAddress);
  for (const mtu of MTUS) measures.set(byIperf(name, mtu), withMtu(mtu, iperf.measure.bind(iperf)));
}

/** The upper bound: the kernel's TCP alone. */
async function addPlain({ owned, missing, measures }: Contestants, hosts: Hosts): Promise<void> {
  const host = hosts.right.address;
  const pair = owned.use(await plainPair({ listenHost: host, hosts }, async (port) => ({ host, port })));
  measures.set("no tunnel", rateOf(pair));
  if (missingPrograms("iperf3").length > 0) return void missing.push("no tunnel, by iperf3: needs iperf3");
  const iperf = new Iperf(hosts, host);
  measures.set("no tunnel, by iperf3", iperf.measure.bind(iperf));
}

function rateOf(pair: StreamPair): Measure {
  return async (direction, seconds) => (await pair.measure(direction, seconds)).gbitPerSecond;
}
