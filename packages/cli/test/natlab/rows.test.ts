/** Which path is found between which networks, and that 20 MB pass it unchanged in both directions. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Deployment, PORT, type Session, testData } from "./deployment.ts";
import { missingTools } from "./lab.ts";
import { type Host, internetAddress6, type SiteOptions, Topology } from "./topology.ts";

const missing = missingTools("ip", "nft", "conntrack");
/** Skips the rows that need a proxy. */
const withoutNginx = missingTools("nginx").length > 0;
const data = testData(20_000_000);
const DIRECT_WITHIN_MS = 20_000;
const TRANSFER_WITHIN_MS = 120_000;

type Expected =
  /** The path is direct before the transfer starts and at its end. */
  | "direct"
  /** The path is never direct. */
  | "relayed"
  /** Either is fine, but nothing must hang. */
  | "either";

interface Row {
  readonly name: string;
  readonly agent: SiteOptions;
  /** "same site": a second host behind the agent's router. */
  readonly client: SiteOptions | "same site";
  readonly expected: Expected;
  /** Pattern of the direct path. */
  readonly path?: RegExp;
}

/** Rows with (C.n) are those of the upstream test suite; the others are additional. */
const STUN_ROWS: readonly Row[] = [
  {
    name: "(C.3) full-cone routers on both sides",
    agent: { nat: "full-cone" },
    client: { nat: "full-cone" },
    expected: "direct",
  },
  {
    name: "(C.4) a symmetric router and a full-cone one",
    agent: { nat: "full-cone" },
    client: { nat: "symmetric" },
    expected: "direct",
  },
  {
    name: "port-restricted routers on both sides",
    agent: { nat: "easy" },
    client: { nat: "easy" },
    expected: "direct",
  },
  {
    name: "a symmetric router and one that filters by address",
    agent: { nat: "symmetric" },
    client: { nat: "address-dependent" },
    expected: "direct",
  },
  {
    name: "symmetric routers on both sides",
    agent: { nat: "symmetric" },
    client: { nat: "symmetric" },
    expected: "relayed",
  },
  {
    name: "a symmetric router with 64 ports and a port-restricted one",
    agent: { nat: "easy" },
    client: { nat: "symmetric-pool" },
    expected: "either",
  },
  {
    name: "a symmetric router and a port-restricted one",
    agent: { nat: "symmetric" },
    client: { nat: "easy" },
    expected: "relayed",
  },
  {
    name: "UDP swallowed on one side",
    agent: { nat: "easy" },
    client: { udp: "swallowed" },
    expected: "relayed",
  },
  {
    name: "UDP refused by ICMP on one side",
    agent: { udp: "refused" },
    client: { nat: "full-cone" },
    expected: "relayed",
  },
  {
    name: "only the STUN port open",
    agent: { nat: "easy" },
    client: { udp: { onlyPorts: [53, 3478] } },
    expected: "relayed",
  },
  {
    name: "STUN blocked, all other UDP open, on one side",
    agent: { nat: "full-cone" },
    client: { udp: { exceptPorts: [3478] } },
    expected: "direct",
  },
  {
    name: "two hosts behind one router",
    agent: { nat: "easy" },
    client: "same site",
    expected: "direct",
    path: /^10\./,
  },
  {
    name: "two hosts behind one symmetric router",
    agent: { nat: "symmetric" },
    client: "same site",
    expected: "direct",
    path: /^10\./,
  },
  {
    name: "a provider's router in front of one side",
    agent: { nat: "easy" },
    client: { nat: "easy", carrier: "easy" },
    expected: "direct",
  },
  {
    name: "providers' routers in front of both sides",
    agent: { carrier: "easy" },
    client: { carrier: "easy" },
    expected: "direct",
  },
  {
    name: "routers whose INPUT chain is open on both sides",
    agent: { openInput: true },
    client: { openInput: true },
    expected: "direct",
  },
  {
    name: "an open INPUT chain on the agent's side",
    agent: { openInput: true },
    client: { nat: "easy" },
    expected: "direct",
  },
  {
    name: "providers' routers in front, all INPUT chains open",
    agent: { carrier: "easy", openInput: true },
    client: { carrier: "easy", openInput: true },
    expected: "either",
  },
  {
    name: "a provider's symmetric router in front of one side",
    agent: { nat: "full-cone" },
    client: { carrier: "symmetric" },
    expected: "direct",
  },
  {
    name: "routers that forget a mapping after 5 s",
    agent: { mappingLifeS: 5 },
    client: { mappingLifeS: 5 },
    expected: "direct",
  },
  {
    name: "stateful IPv6 firewalls, with IPv4 UDP swallowed",
    agent: { ipv6: "firewall", udp: "swallowed" },
    client: { ipv6: "firewall", udp: "swallowed" },
    expected: "direct",
    path: /^\[fd19:/,
  },
  { name: "a link with MTU 1280 on one side", agent: { nat: "easy" }, client: { linkMtu: 1280 }, expected: "either" },
  {
    name: "a router that swallows packets above 1300 bytes",
    agent: { nat: "easy" },
    client: { swallowAbove: 1300 },
    expected: "either",
  },
  { name: "2 % of UDP packets lost each way", agent: { nat: "easy" }, client: { lossPercent: 2 }, expected: "direct" },
  // This path is too slow for the transfer to end in time, so the relay has to take over.
  {
    name: "10 % of UDP packets lost each way",
    agent: { nat: "easy" },
    client: { lossPercent: 10 },
    expected: "either",
  },
  {
    name: "30 % of UDP packets lost each way",
    agent: { nat: "easy" },
    client: { lossPercent: 30 },
    expected: "either",
  },
  {
    name: "30 % of UDP packets lost towards the client",
    agent: { nat: "easy" },
    client: { lossInPercent: 30 },
    expected: "either",
  },
  {
    name: "UDP policed to 1 Mbit/s on its way to the client",
    agent: { nat: "easy" },
    client: { policedKbit: 1_000 },
    expected: "either",
  },
  {
    name: "a host with 60 bridges",
    agent: { nat: "symmetric", bridges: 60 },
    client: "same site",
    expected: "direct",
    path: /^10\./,
  },
];

const NO_STUN_ROWS: readonly Row[] = [
  {
    name: "(C.2) port-restricted routers, no STUN",
    agent: { nat: "easy" },
    client: { nat: "easy" },
    expected: "relayed",
  },
];

const IPV6_ROWS: readonly Row[] = [
  {
    name: "(C.5) IPv6 without translation, no STUN",
    agent: { ipv6: "open", ipv6Only: true },
    client: { ipv6: "open", ipv6Only: true, linkMtu: 1500 },
    expected: "direct",
    path: /^\[fd19:/,
  },
  {
    name: "(C.6) IPv6 without translation, no STUN, a link with MTU 1280",
    agent: { ipv6: "open", ipv6Only: true },
    client: { ipv6: "open", ipv6Only: true, linkMtu: 1280 },
    expected: "either",
  },
  {
    name: "stateful IPv6 firewalls on both sides, no IPv4, no STUN",
    agent: { ipv6: "firewall", ipv6Only: true },
    client: { ipv6: "firewall", ipv6Only: true },
    expected: "direct",
    path: /^\[fd19:/,
  },
];

const WEBSOCKET_ROWS: readonly Row[] = [
  { name: "(C.7) only WebSockets to the relay", agent: { nat: "easy" }, client: { nat: "easy" }, expected: "relayed" },
];

/** Passes ordinary requests and WebSockets but refuses the relay's own upgrade, as many proxies do. */
function nginxConfig(folder: string, port: number, target: string, rawUpgrade: boolean): string {
  return `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  map $http_upgrade $forbidden { default 0; ${rawUpgrade ? "" : '"~*^derp$" 1;'} }
  server {
    listen ${port};
    location / {
      if ($forbidden) { return 400; }
      proxy_pass http://${target}; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 300s;
      proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
    }
  }
}
`;
}

describe.skipIf(missing.length > 0)(`networks and paths (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let folder: string;
  const results: string[] = [];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "coder-rows-"));
  });

  afterAll(() => {
    console.log(results.join("\n"));
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  /** Waits for the path that the row expects, then sends 20 MB there and back. */
  async function judge(row: Pick<Row, "name" | "expected" | "path">, session: Session): Promise<void> {
    await session.firstOutput(30_000);
    const connected = Math.round(performance.now() - session.started);
    expect(session.child.stdout!.read()?.toString()).toBe("ready\n");
    const directMs = row.expected === "direct" ? await session.untilDirect(DIRECT_WITHIN_MS) : undefined;
    if (row.path !== undefined) expect(session.path).toMatch(row.path);
    const took = await session.echo(data, TRANSFER_WITHIN_MS);
    const paths = session.paths.map(({ atMs, path }) => `${path} at ${Math.round(atMs)}`).join(", ");
    const rate = Math.round((data.length * 8) / took / 1000);
    results.push(
      `${row.name}: connected ${connected} ms, direct ${directMs ?? "-"} ms, ${rate} Mbit/s each way; ${paths}`,
    );
    const kinds = session.paths.map(({ path }) => (path.startsWith("relay") ? "relayed" : "direct"));
    if (row.expected === "direct") expect(kinds.at(-1), paths).toBe("direct");
    if (row.expected === "relayed") expect(kinds, paths).not.toContain("direct");
    expect(kinds.length).toBeGreaterThan(0);
  }

  function describeGroup(
    title: string,
    rows: readonly Row[],
    setUp: (topology: Topology, server: Host) => Promise<Deployment>,
  ): void {
    describe(title, () => {
      let topology: Topology | undefined;
      let deployment: Deployment;

      beforeAll(async () => {
        topology = new Topology();
        deployment = await setUp(topology, topology.addServer());
      });

      afterAll(() => topology?.close());

      it.each(rows)("$name: $expected", async (row) => {
        const same = row.client === "same site";
        const agentSite = topology!.addSite(row.agent, same ? 2 : 1);
        const clientSite = row.client === "same site" ? agentSite : topology!.addSite(row.client);
        const clientHost = clientSite.hosts.at(-1)!;
        const agent = deployment.startAgent(agentSite.host);
        try {
          const session = deployment.openSession(clientHost, agent, "echo ready; cat");
          const judged = judge(row, session).then(() => {
            // `coder ping` must report the same path. Its pings use both, and the relay may be faster once on a direct path.
            const flags = ["-n", "3", "--wait", "200ms", "--output", "json"];
            const text = deployment.cli(clientHost, "ping", agent.workspace, ...flags);
            const { pings } = JSON.parse(text) as { pings: { ok: boolean; path?: { kind: string } }[] };
            expect(pings.every(({ ok }) => ok)).toBe(true);
            const kinds = new Set(pings.map(({ path }) => path?.kind));
            if (row.expected === "direct") expect(kinds).toContain("direct");
            if (row.expected === "relayed") expect([...kinds]).toEqual(["relayed"]);
          });
          await judged.catch((error: unknown) => {
            throw new Error(
              `${(error as Error).message}\n--- ssh\n${session.log}\n--- agent\n${agent.log}\n--- server\n${deployment.serverLog}`,
              { cause: error },
            );
          });
        } finally {
          await topology!.removeSite(clientSite);
          if (!same) await topology!.removeSite(agentSite);
        }
      });
    });
  }

  describeGroup("two STUN servers", STUN_ROWS, async (topology, host) => {
    const second = topology.addServer();
    second.spawn(process.execPath, [join(import.meta.dirname, "stun-server.ts"), "3478"], { stdio: "inherit" });
    const flags = ["--derp-server-stun-addresses", `${second.address}:3478`];
    const deployment = new Deployment({ host, folder: join(folder, "stun"), flags });
    await deployment.start();
    return deployment;
  });

  const noStun = ["--stun-address", "disable", "--derp-server-stun-addresses", "disable"];

  describeGroup("no STUN server", NO_STUN_ROWS, async (_, host) => {
    const deployment = new Deployment({ host, folder: join(folder, "no-stun"), flags: noStun });
    await deployment.start();
    return deployment;
  });

  describeGroup("no STUN server, IPv6 only", IPV6_ROWS, async (_, host) => {
    const accessUrl = `http://[${internetAddress6(1)}]:${PORT}`;
    const deployment = new Deployment({ host, folder: join(folder, "ipv6"), accessUrl, flags: noStun });
    await deployment.start();
    return deployment;
  });

  describe.skipIf(withoutNginx)("proxies and loopback, no endpoints", () => {
    let topology: Topology | undefined;
    let host: Host;

    beforeAll(() => {
      topology = new Topology();
      host = topology.addServer();
    });

    afterAll(() => topology?.close());

    it.each([
      { name: "(C.1) all on one host", proxy: undefined, raw: true },
      { name: "(C.9) behind nginx", proxy: 3001, raw: true },
      { name: "(C.8) behind a proxy that refuses the relay's own upgrade", proxy: 3002, raw: false },
    ])("$name: relayed", async ({ name, proxy, raw }) => {
      const own = join(folder, `loopback-${proxy}`);
      const address = `127.0.0.1:${proxy ?? PORT}`;
      const deployment = new Deployment({ host, folder: own, accessUrl: `http://${address}`, flags: noStun });
      if (proxy !== undefined) {
        writeFileSync(join(own, "nginx.conf"), nginxConfig(own, proxy, `127.0.0.1:${PORT}`, raw));
        host.spawn("nginx", ["-p", own, "-c", join(own, "nginx.conf")], { stdio: ["ignore", "inherit", "inherit"] });
      }
      await deployment.start();
      const agent = deployment.startAgent(host);
      try {
        const session = deployment.openSession(host, agent, "echo ready; cat", "--disable-direct-connections");
        await judge({ name, expected: "relayed" }, session);
      } finally {
        agent.child.kill("SIGKILL");
        await deployment.kill();
      }
    });
  });

  describeGroup("a relay that takes WebSockets only", WEBSOCKET_ROWS, async (_, host) => {
    const flags = [...noStun, "--derp-force-websockets"];
    const deployment = new Deployment({ host, folder: join(folder, "websockets"), flags });
    await deployment.start();
    return deployment;
  });
});
