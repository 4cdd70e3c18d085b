/** `coder doctor` on various networks: it names the true cause and no other. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Deployment, PORT } from "./deployment.ts";
import { missingTools } from "./lab.ts";
import { internetAddress6, type Site, type SiteOptions, Topology } from "./topology.ts";

const missing = missingTools("ip", "nft");

interface Row {
  readonly name: string;
  readonly agent: SiteOptions;
  /** "behind the same carrier": the same carrier as the agent's. */
  readonly client: SiteOptions | "behind the same carrier";
  /** The agent reaches the server by IPv6. */
  readonly agentByIpv6?: boolean;
  readonly codes: readonly string[];
  readonly what?: RegExp;
  /** Packet loss is random. */
  readonly byChance?: boolean;
}

/** Attempts of a random row: fewer than one in a hundred fails by bad luck. */
const TRIES = 2;

const ROWS: readonly Row[] = [
  { name: "nothing", agent: { nat: "easy" }, client: { nat: "easy" }, codes: [] },
  {
    name: "10 % loss each way",
    agent: { nat: "easy" },
    client: { lossPercent: 10 },
    byChance: true,
    codes: ["loss"],
    what: /^The direct path loses \d+ % of the packets/,
  },
  {
    name: "30 % loss each way",
    agent: { nat: "easy" },
    client: { lossPercent: 30 },
    byChance: true,
    codes: ["loss"],
    what: /^The direct path loses \d+ % of the packets/,
  },
  {
    name: "40 % loss on the way into the workspace's network",
    agent: { nat: "easy", lossInPercent: 40 },
    client: { nat: "easy" },
    byChance: true,
    codes: ["loss"],
    what: /^The direct path loses \d+ % of the packets/,
  },
  {
    name: "30 % loss on the way in",
    agent: { nat: "easy" },
    client: { lossInPercent: 30 },
    byChance: true,
    codes: ["loss"],
    what: /^The direct path loses \d+ % of the packets/,
  },
  {
    name: "packets above 1300 bytes swallowed",
    agent: { nat: "easy" },
    client: { swallowAbove: 1300 },
    codes: ["mtu-black-hole"],
  },
  {
    name: "UDP that gets out of the workspace, but not in",
    agent: { nat: "easy", inOnlyFromPorts: [3478] },
    client: { nat: "easy" },
    codes: ["one-way"],
    what: /the workspace's probes arrive here, ours do not get there/,
  },
  {
    name: "UDP that gets out of here, but not in",
    agent: { nat: "easy" },
    client: { nat: "easy", inOnlyFromPorts: [3478] },
    codes: ["one-way"],
    what: /our probes arrive at the workspace, its answers and its own probes do not get here/,
  },
  {
    name: "UDP to the STUN port alone",
    agent: { nat: "easy" },
    client: { udp: { onlyPorts: [53, 3478] } },
    codes: ["no-answer"],
  },
  {
    name: "UDP swallowed here",
    agent: { nat: "easy" },
    client: { udp: "swallowed" },
    codes: ["udp-blocked", "no-answer"],
  },
  {
    name: "an agent without IPv4, a client without IPv6",
    agent: { ipv6: "open", ipv6Only: true },
    client: { nat: "easy" },
    agentByIpv6: true,
    codes: ["no-common-family"],
    what: /IPv4 only and the workspace IPv6 only/,
  },
  {
    name: "one provider's NAT without hairpin in front of both",
    agent: { nat: "easy", carrier: "easy" },
    client: "behind the same carrier",
    codes: ["no-hairpin"],
  },
];

describe.skipIf(missing.length > 0)(`doctor (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let folder: string;
  let topology: Topology | undefined;
  let deployment: Deployment;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "coder-doctor-"));
    topology = new Topology();
    const host = topology.addServer();
    deployment = new Deployment({ host, folder: join(folder, "server"), flags: [] });
    await deployment.start();
  });

  afterAll(async () => {
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  it.each(ROWS)("$name: $codes", async (row) => {
    const sites: Site[] = [topology!.addSite(row.agent)];
    sites.push(topology!.addSite(row.client === "behind the same carrier" ? { behind: sites[0]! } : row.client));
    try {
      const agentUrl = row.agentByIpv6 ? `http://[${internetAddress6(1)}]:${PORT}` : undefined;
      const agent = deployment.startAgent(sites[0]!.host, agentUrl);
      const ask = () => deployment.doctor(sites[1]!.host, agent);
      const causesOf = ({ causes }: ReturnType<typeof ask>) => causes.filter(({ severity }) => severity !== "note");
      const codesOf = (report: ReturnType<typeof ask>) => causesOf(report).map(({ code }) => code);
      let said = ask();
      for (let tries = 1; row.byChance === true && tries < TRIES && `${codesOf(said)}` !== `${row.codes}`; tries++)
        said = ask();
      expect(codesOf(said), JSON.stringify(said, undefined, 1)).toEqual(row.codes);
      const causes = causesOf(said);
      if (row.what !== undefined) expect(causes[0]!.what).toMatch(row.what);
    } finally {
      for (const site of sites.toReversed()) await topology!.removeSite(site);
    }
  });
});
