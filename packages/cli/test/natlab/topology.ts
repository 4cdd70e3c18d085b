/**
 * Sites behind routers in network namespaces, joined by one core router, made for one test and removed after it.
 *
 * Every server and every site has its own link to the core, so there is a hop between any two routers: a probe with a hop limit
 * of 2 opens the sender's router and dies in the core, as it does in the internet.
 *
 * host 10.k.0.10 ── lan [router] wan 198.18.k.2 ── 198.18.k.1 [core] ── 198.18.1.2 server
 *
 * The router recipes follow RFC 4787: a mapping is what a socket looks like outside, filtering is who may answer it.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

/** How a router translates IPv4. */
export type Nat =
  /**
   * One mapping for all destinations; only addresses and ports to which a packet was sent may answer: the ordinary home router.
   */
  | "easy"
  /** One mapping, to which anyone may send. */
  | "full-cone"
  /** One mapping; any port of an address to which a packet was sent may answer. */
  | "address-dependent"
  /** A different random port for every destination. */
  | "symmetric"
  /** A different port for every destination, from a pool of 64. */
  | "symmetric-pool";

export interface SiteOptions {
  readonly nat?: Nat;
  /**
   * How the router treats UDP from inside: passes it, drops it, refuses it by ICMP, or passes only these ports, or all but these.
   */
  readonly udp?:
    | "open"
    | "swallowed"
    | "refused"
    | { readonly onlyPorts: readonly number[] }
    | { readonly exceptPorts: readonly number[] };
  /** The INPUT chain of the router (and of the carrier's) accepts everything, like a virtual machine host without a firewall. */
  readonly openInput?: boolean;
  /** The NAT of a second router, the carrier's, in front (RFC 6598 addresses between the two). */
  readonly carrier?: Nat;
  /** IPv6 inside, routed without translation: "firewall" admits only answers, "open" everything. */
  readonly ipv6?: "firewall" | "open";
  /** How long the router remembers a UDP mapping without traffic, in seconds; default: the kernel's 30 and 120. */
  readonly mappingLifeS?: number;
  /** No IPv4 at all. */
  readonly ipv6Only?: boolean;
  /** MTU of the hosts' links. */
  readonly linkMtu?: number;
  /** UDP packets longer than this, IP header included, are silently dropped at the router in both directions. */
  readonly swallowAbove?: number;
  /** Percentage of UDP packets that the router drops in each direction. */
  readonly lossPercent?: number;
  /** Percentage of UDP packets from outside that the router drops. */
  readonly lossInPercent?: number;
  /** Limits UDP from outside to this rate, in kbit/s; the excess is dropped. */
  readonly policedKbit?: number;
  /** Admits UDP from outside only from these ports. */
  readonly inOnlyFromPorts?: readonly number[];
  /** UDP flows, except those with STUN servers, fall silent after this many packets (both directions) or seconds. */
  readonly flowLimit?: { readonly packets: number } | { readonly seconds: number };
  /** The carrier's router, which has to be "full-cone", sends packets for its own address back inside. */
  readonly carrierHairpin?: boolean;
  /** Behind the same carrier router as that site, which must have one. */
  readonly behind?: Site;
  /** Number of additional bridges on the host, each with an address, as container engines make them. */
  readonly bridges?: number;
}

/** Limit for all processes of a namespace to be gone. */
const EMPTY_MS = 20_000;

const NAT_RULES: Readonly<Record<Nat, { map?: string; learn?: string; pre?: string; out: string }>> = {
  easy: { out: "masquerade" },
  "full-cone": {
    map: "map m { type inet_service : ipv4_addr; flags dynamic,timeout; timeout 120s; size 8192; }",
    learn: "oifname wan meta l4proto udp update @m { udp sport : ip saddr }",
    pre: "iifname wan meta l4proto udp dnat ip to udp dport map @m",
    out: "masquerade",
  },
  "address-dependent": {
    map: "map m { type ipv4_addr . inet_service : ipv4_addr; flags dynamic,timeout; timeout 120s; size 8192; }",
    learn: "oifname wan meta l4proto udp update @m { ip daddr . udp sport : ip saddr }",
    pre: "iifname wan meta l4proto udp dnat ip to ip saddr . udp dport map @m",
    out: "masquerade",
  },
  symmetric: { out: "masquerade fully-random" },
  "symmetric-pool": { out: "meta l4proto udp masquerade to :40000-40063 fully-random" },
};

/** One network namespace and the processes in it. */
export class Host {
  readonly name: string;
  /** The host's address for others, of either family. */
  readonly address: string;
  readonly #children = new Set<ChildProcess>();

  constructor(name: string, address: string) {
    this.name = name;
    this.address = address;
    ip("netns", "add", name);
    ip("-n", name, "link", "set", "lo", "up");
  }

  ip(...args: readonly string[]): void {
    ip("-n", this.name, ...args);
  }

  nft(script: string): void {
    this.run("nft", ["-f", "-"], { input: script });
  }

  sysctl(...settings: readonly string[]): void {
    this.run("sysctl", ["-qw", ...settings]);
  }

  /** The returned process is the command itself, because `ip netns exec` execs it. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.name, command, ...args], options);
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  run(command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; input?: string } = {}): string {
    return execFileSync("ip", ["netns", "exec", this.name, command, ...args], {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
      timeout: 60_000,
      ...options,
    });
  }

  link(state: "up" | "down", device = "eth0"): void {
    this.ip("link", "set", device, state);
  }

  /** Resets every TCP connection to or from `port` of the other side, until the rule is removed. */
  resetConnections(port: number): () => void {
    this.nft(`table inet resets {
      chain out { type filter hook output priority 0; tcp dport ${port} reject with tcp reset
      }
      chain in { type filter hook input priority 0; tcp sport ${port} reject with tcp reset
      }
    }`);
    return () => this.nft("delete table inet resets");
  }

  /** Stops every process here, as suspending a machine does; the returned function wakes them. */
  freeze(): () => void {
    const pids = this.#pids();
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    return () => {
      for (const pid of pids) process.kill(pid, "SIGCONT");
    };
  }

  /** Kills everything that runs here, including descendants of our processes, and removes the namespace. */
  async remove(): Promise<void> {
    const deadline = performance.now() + EMPTY_MS;
    for (let pids = this.#pids(); pids.length > 0; pids = this.#pids()) {
      if (performance.now() > deadline)
        throw new Error(`${this.name}: processes ${pids.join(", ")} live on, ${EMPTY_MS} ms after SIGKILL`);
      for (const pid of pids) {
        try {
          process.kill(pid, "SIGKILL");
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // the process has already ended
        }
      }
      await sleep(20);
    }
    ip("netns", "del", this.name);
  }

  #pids(): number[] {
    const text = execFileSync("ip", ["netns", "pids", this.name], { encoding: "utf8" });
    return text.split("\n").filter(Boolean).map(Number);
  }
}

/** A router with its hosts. */
export class Site {
  /** The router nearest to the hosts. */
  readonly router: Host;
  readonly hosts: readonly SiteHost[];
  /** That router's namespace and the carrier's. */
  readonly namespaces: readonly Host[];

  constructor(router: Host, hosts: readonly SiteHost[], namespaces: readonly Host[]) {
    this.router = router;
    this.hosts = hosts;
    this.namespaces = namespaces;
  }

  get host(): SiteHost {
    return this.hosts[0]!;
  }

  /** Blocks UDP at the router in both directions; the returned function unblocks it. */
  cutUdp(): () => void {
    this.router.nft(`table inet cut {
      chain fw { type filter hook forward priority -10; meta l4proto udp drop
      }
    }`);
    return () => this.router.nft("delete table inet cut");
  }

  /** Restarts the router as a different one: it loses every mapping and assigns other ports. */
  otherPorts(): void {
    this.router.nft(`flush chain ip nat post
      add rule ip nat post oifname wan meta l4proto udp masquerade to :50000-50999
      add rule ip nat post oifname wan masquerade`);
    this.flushMappings();
  }

  /** Number of requests for STUN servers that passed the router since the first call. */
  stunRequests(): number {
    const known = this.router.run("nft", ["list", "tables"]).includes("table ip asked");
    if (!known)
      this.router.nft(`table ip asked {
        chain fw { type filter hook forward priority -30; iifname lan udp dport 3478 counter
        }
      }`);
    const text = this.router.run("nft", ["list", "table", "ip", "asked"]);
    return Number(/counter packets (\d+)/.exec(text)![1]);
  }

  /** Makes the router lose every mapping, as in a reboot. */
  flushMappings(): void {
    this.router.run("conntrack", ["-F"]);
  }
}

/** A host inside a site. */
export class SiteHost extends Host {
  readonly #gateway: string;
  #current: string;

  constructor(name: string, address: string, gateway: string) {
    super(name, address);
    this.#gateway = gateway;
    this.#current = address;
  }

  /** Gives the host another IPv4 address in the same network, as a new lease does. */
  changeAddress(address: string): void {
    this.ip("addr", "del", `${this.#current}/24`, "dev", "eth0");
    this.ip("addr", "add", `${address}/24`, "dev", "eth0");
    this.ip("route", "replace", "default", "via", this.#gateway);
    this.#current = address;
  }
}

let made = 0;

export class Topology {
  /** Keeps names of different runs, and of different topologies in one run, apart. */
  readonly #prefix = `coder-lab-${process.pid}-${++made}`;
  readonly #namespaces: Host[] = [];
  readonly #core: Host;
  #links = 0;

  constructor() {
    this.#core = this.#host("core", "");
    this.#core.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  }

  /** Adds an internet host with an address of each family. */
  addServer(): Host {
    const number = ++this.#links;
    const host = this.#host(`server${number}`, internetAddress(number));
    this.#attach(host, number, "eth0");
    return host;
  }

  /** Adds a router with `hosts` hosts behind it. If it fails, `close` removes what was made. */
  addSite(options: SiteOptions = {}, hosts = 1): Site {
    const number = ++this.#links;
    const first = this.#namespaces.length;
    let router: Host;
    if (options.behind !== undefined) {
      const carrier = options.behind.namespaces[0]!;
      router = this.#host(`home${number}`, `100.64.${number}.2`);
      carrier.ip("link", "add", `lan${number}`, "type", "veth", "peer", "name", "wan", "netns", router.name);
      address(carrier, `lan${number}`, `100.64.${number}.1/24`);
      address(router, "wan", `100.64.${number}.2/24`);
      router.ip("route", "add", "default", "via", `100.64.${number}.1`);
    } else {
      router = this.#host(`router${number}`, internetAddress(number));
      this.#attach(router, number, "wan");
    }
    if (options.carrier !== undefined) {
      const outer = router;
      setRouterRules(outer, { nat: options.carrier, openInput: options.openInput ?? false });
      if (options.carrierHairpin) hairpin(outer);
      router = this.#host(`home${number}`, `100.64.${number}.2`);
      outer.ip("link", "add", "lan", "type", "veth", "peer", "name", "wan", "netns", router.name);
      address(outer, "lan", `100.64.${number}.1/24`);
      address(router, "wan", `100.64.${number}.2/24`);
      router.ip("route", "add", "default", "via", `100.64.${number}.1`);
    }
    setRouterRules(router, options);
    if (options.flowLimit !== undefined) limitFlows(router, options.flowLimit);
    router.ip("link", "add", "lan", "type", "bridge");
    if (!options.ipv6Only) address(router, "lan", `10.${number}.0.1/24`);
    if (options.ipv6 !== undefined) {
      address(router, "lan", `${lan6(number)}1/64`);
      this.#core.ip("-6", "route", "add", `${lan6(number)}/64`, "via", internetAddress6(number));
    }
    const inside: SiteHost[] = [];
    for (let i = 0; i < hosts; i++) {
      const last = 10 + i;
      const v4 = `10.${number}.0.${last}`;
      const name = `${this.#prefix}-host${number}-${i}`;
      const host = new SiteHost(name, options.ipv6Only ? `${lan6(number)}${last}` : v4, `10.${number}.0.1`);
      this.#namespaces.push(host);
      router.ip("link", "add", `port${i}`, "type", "veth", "peer", "name", "eth0", "netns", host.name);
      router.ip("link", "set", `port${i}`, "master", "lan", "up");
      if (options.linkMtu !== undefined) {
        router.ip("link", "set", `port${i}`, "mtu", String(options.linkMtu));
        host.ip("link", "set", "eth0", "mtu", String(options.linkMtu));
      }
      if (!options.ipv6Only) {
        address(host, "eth0", `${v4}/24`);
        host.ip("route", "add", "default", "via", `10.${number}.0.1`);
      }
      if (options.ipv6 !== undefined) {
        address(host, "eth0", `${lan6(number)}${last}/64`);
        host.ip("-6", "route", "add", "default", "via", `${lan6(number)}1`);
      }
      for (let bridge = 0; bridge < (options.bridges ?? 0); bridge++) {
        host.ip("link", "add", `br-${bridge}`, "type", "bridge");
        address(host, `br-${bridge}`, `172.${18 + (bridge >> 8)}.${bridge & 255}.1/24`);
      }
      inside.push(host);
    }
    return new Site(router, inside, this.#namespaces.slice(first));
  }

  /** Ends its processes and frees its resources, including its links to the core. */
  async removeSite(site: Site): Promise<void> {
    for (const host of site.namespaces.toReversed()) {
      await host.remove();
      this.#namespaces.splice(this.#namespaces.indexOf(host), 1);
    }
  }

  /** Removes everything that was made, in whatever state; throws the first failure after the last removal. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const host of this.#namespaces.splice(0).reverse()) {
      await host.remove().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  #host(label: string, hostAddress: string): Host {
    const host = new Host(`${this.#prefix}-${label}`, hostAddress);
    this.#namespaces.push(host);
    return host;
  }

  #attach(host: Host, number: number, device: string): void {
    this.#core.ip("link", "add", `link${number}`, "type", "veth", "peer", "name", device, "netns", host.name);
    address(this.#core, `link${number}`, `198.18.${number}.1/24`);
    address(this.#core, `link${number}`, `fd18:${number}::1/64`);
    address(host, device, `${internetAddress(number)}/24`);
    address(host, device, `${internetAddress6(number)}/64`);
    host.ip("route", "add", "default", "via", `198.18.${number}.1`);
    host.ip("-6", "route", "add", "default", "via", `fd18:${number}::1`);
  }
}

/** Addresses reserved for benchmarks (RFC 2544), which no real host has. */
function internetAddress(number: number): string {
  return `198.18.${number}.2`;
}

export function internetAddress6(number: number): string {
  return `fd18:${number}::2`;
}

function lan6(number: number): string {
  return `fd19:${number}::`;
}

function address(host: Host, device: string, cidr: string): void {
  // Duplicate address detection would delay the use of IPv6 addresses by a second.
  host.ip("addr", "add", cidr, "dev", device, ...(cidr.includes(":") ? ["nodad"] : []));
  host.ip("link", "set", device, "up");
}

function setRouterRules(router: Host, options: SiteOptions): void {
  const nat = NAT_RULES[options.nat ?? "easy"];
  const udp = options.udp ?? "open";
  const policy: string[] = [];
  if (udp === "swallowed") policy.push("iifname lan meta l4proto udp drop");
  else if (udp === "refused") policy.push("iifname lan meta l4proto udp reject with icmp admin-prohibited");
  else if (udp !== "open") {
    const match = "onlyPorts" in udp ? `!= { ${udp.onlyPorts.join(", ")} }` : `{ ${udp.exceptPorts.join(", ")} }`;
    policy.push(`iifname lan udp dport ${match} drop`);
  }
  const damage: string[] = [];
  if (options.swallowAbove !== undefined) {
    // On some hooks "meta length" includes the link header; the IP header has the exact length.
    damage.push(`meta l4proto udp ip length > ${options.swallowAbove} drop`);
  }
  if (options.lossPercent !== undefined)
    damage.push(`meta l4proto udp numgen random mod 100 < ${options.lossPercent} drop`);
  if (options.lossInPercent !== undefined)
    damage.push(`iifname wan meta l4proto udp numgen random mod 100 < ${options.lossInPercent} drop`);
  if (options.policedKbit !== undefined)
    damage.push(
      `iifname wan meta l4proto udp limit rate over ${Math.round(options.policedKbit / 8)} kbytes/second burst 32 kbytes drop`,
    );
  if (options.inOnlyFromPorts !== undefined)
    damage.push(`iifname wan udp sport != { ${options.inOnlyFromPorts.join(", ")} } drop`);
  router.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  if (options.mappingLifeS !== undefined) {
    const names = ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"];
    router.sysctl(...names.map((name) => `net.netfilter.${name}=${options.mappingLifeS}`));
  }
  router.nft(`table ip nat {
    ${nat.map ?? ""}
    chain pre {
      type nat hook prerouting priority dstnat
      ${nat.pre ?? ""}
    }
    chain learn {
      type filter hook forward priority 10
      ${nat.learn ?? ""}
    }
    chain post {
      type nat hook postrouting priority srcnat
      oifname wan ip saddr { 10.0.0.0/8, 100.64.0.0/10 } ${nat.out}
      oifname wan ip saddr { 10.0.0.0/8, 100.64.0.0/10 } masquerade
    }
  }
  table ip filter {
    chain input {
      type filter hook input priority 0
      ${options.openInput ? "" : "ct state established,related accept\n iifname wan drop"}
    }
    chain forwarding {
      type filter hook forward priority 0
      ${[...damage, ...policy].join("\n")}
      ct state established,related accept
      iifname "lan*" accept
      ct status dnat accept
      iifname wan drop
    }
  }
  table ip6 filter {
    chain forwarding {
      type filter hook forward priority 0
      ${options.ipv6 === "open" ? "accept" : ""}
      ct state established,related accept
      iifname lan accept
      meta l4proto icmpv6 accept
      iifname wan drop
    }
  }`);
}

/**
 * RFC 4787 REQ-9: a packet for the outside address of an inside host reaches it, with the sender's outside address as its source.
 */
function hairpin(router: Host): void {
  router.nft(`add rule ip nat pre ip daddr ${router.address} meta l4proto udp dnat ip to udp dport map @m
    add rule ip nat post oifname "lan*" ct status dnat snat to ${router.address}`);
}

/** Silences a flow permanently: its entry lives while either side sends, so only another port makes a new flow. */
function limitFlows(router: Host, limit: NonNullable<SiteOptions["flowLimit"]>): void {
  if ("packets" in limit) {
    router.sysctl("net.netfilter.nf_conntrack_acct=1");
    router.nft(`table ip limits {
      chain fw { type filter hook forward priority -20; udp dport != 3478 udp sport != 3478 ct packets > ${limit.packets} drop
      }
    }`);
    return;
  }
  const out = "ip saddr . udp sport . ip daddr . udp dport";
  const back = "ip daddr . udp dport . ip saddr . udp sport";
  router.nft(`table ip limits {
    set young {
      type ipv4_addr . inet_service . ipv4_addr . inet_service
      flags dynamic,timeout
      timeout ${limit.seconds}s
      size 8192
    }
    chain fw { type filter hook forward priority -20; udp dport != 3478 udp sport != 3478 jump aging
    }
    chain aging {
      iifname lan ct state new add @young { ${out} }
      iifname lan ${out} != @young drop
      iifname wan ${back} != @young drop
    }
  }`);
}

function ip(...args: readonly string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"], timeout: 10_000 });
}
