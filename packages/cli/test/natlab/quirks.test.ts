/** Routers and firewalls with quirks: flows that are ended, ports that change, a provider's hairpinning NAT. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COUNT, Counter } from "./counter.ts";
import { until } from "./deadline.ts";
import { type Agent, Deployment, type Session } from "./deployment.ts";
import { missingTools } from "./lab.ts";
import { type Site, type SiteOptions, Topology } from "./topology.ts";

const missing = missingTools("ip", "nft", "conntrack");
const FIRST_LINE_MS = 30_000;
const DIRECT_MS = 20_000;
/** Limit from the first line until a direct path has failed, was found again and has failed again. */
const TWO_DEATHS_MS = 90_000;
/** Limit from then on until doctor names it. */
const NAMED_MS = 60_000;
/** Less than the time to the next periodic check of the mappings, which may be 26 s away. */
const STUN_MS = 8_000;

/** One session from a client's site to an agent's. */
interface Case {
  readonly client: Site;
  readonly agent: Agent;
  readonly session: Session;
  readonly counter: Counter;
}

describe.skipIf(missing.length > 0)(`networks with quirks (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let folder: string;
  let topology: Topology | undefined;
  let deployment: Deployment;
  let byPackets: Case;
  let byTime: Case;
  let rebooted: Case;

  function connect(agentSite: Site, client: Site): Case {
    const agent = deployment.startAgent(agentSite.host);
    const session = deployment.openSession(client.host, agent, COUNT);
    return { client, agent, session, counter: new Counter(session) };
  }

  function between(client: SiteOptions): Case {
    return connect(topology!.addSite({ nat: "easy" }), topology!.addSite(client));
  }

  function story({ session, agent }: Case): string {
    const paths = session.paths.map(({ atMs, path }) => `${path} at ${Math.round(atMs)}`).join(", ");
    return `${paths}\n--- ssh\n${session.log}\n--- agent\n${agent.log}`;
  }

  /** Reports the session's path when `judge` fails. */
  async function judged(one: Case, judge: () => Promise<void>): Promise<void> {
    await judge().catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${story(one)}`, { cause: error });
    });
  }

  // All sessions start here, so that the rows wait for their firewalls at the same time.
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "coder-quirks-"));
    topology = new Topology();
    deployment = new Deployment({ host: topology.addServer(), folder, flags: [] });
    await deployment.start();
    rebooted = between({ nat: "easy" });
    byPackets = between({ flowLimit: { packets: 400 } });
    byTime = between({ flowLimit: { seconds: 8 } });
  });

  afterAll(async () => {
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  it("a router that returns with other outside ports: STUN is queried at once, the session is direct again", async () => {
    const { session, counter, client } = rebooted;
    await judged(rebooted, async () => {
      await until("the first line", FIRST_LINE_MS, () => counter.last > 0);
      await session.untilDirect(DIRECT_MS);
      await counter.goesOn("before the reboot");
      client.stunRequests();
      client.otherPorts();
      // With a long round trip the new mapping may be known before the path is given up; the session then never leaves it.
      await until("a STUN request after the reboot", STUN_MS, () => client.stunRequests() > 0);
      await until("a direct path again", DIRECT_MS, () => session.direct);
      await counter.goesOn("after the reboot");
      counter.check();
    });
    await session.stop();
  });

  it.each<[string, () => Case]>([
    ["400 packets", () => byPackets],
    ["8 s", () => byTime],
  ])(
    "a firewall that silences a flow after %s: the session lives on by relay, and doctor names it",
    async (_limit, which) => {
      const one = which();
      const { session, counter, client, agent } = one;
      const deaths = (): number =>
        session.paths.filter(
          ({ path }, i) => path.startsWith("relay") && i > 0 && !session.paths[i - 1]!.path.startsWith("relay"),
        ).length;
      await judged(one, async () => {
        await until("the first line", FIRST_LINE_MS, () => counter.last > 0);
        await until("the relay carries, after at least two deaths", TWO_DEATHS_MS, () => {
          counter.check();
          return deaths() >= 2 && !session.direct;
        });
        await counter.goesOn("by relay");
        // On a busy machine a path may also come under doubt for a moment, so the first answer precedes the second failure.
        const asked = performance.now();
        let said: ReturnType<Deployment["doctor"]>;
        let causes: typeof said.causes;
        do {
          said = deployment.doctor(client.host, agent);
          causes = said.causes.filter(({ severity }) => severity !== "note");
        } while (causes.length === 0 && performance.now() - asked < NAMED_MS);
        expect(
          causes.map(({ code }) => code),
          JSON.stringify(said, undefined, 1),
        ).toEqual(["path-keeps-dying"]);
        expect(causes[0]!.what).toMatch(/^The direct path keeps dying after about \d+ s: a firewall ends the flow/);
        await counter.goesOn("after the diagnosis");
        counter.check();
      });
      await session.stop();
    },
  );

  it("both ends behind one provider's NAT with hairpin: direct, by its public address, and nothing is wrong", async () => {
    const home = topology!.addSite({ carrier: "full-cone", carrierHairpin: true });
    const one = connect(home, topology!.addSite({ behind: home }));
    await judged(one, async () => {
      await until("the first line", FIRST_LINE_MS, () => one.counter.last > 0);
      await one.session.untilDirect(DIRECT_MS);
      expect(one.session.path).toMatch(new RegExp(`^${home.namespaces[0]!.address.replaceAll(".", "\\.")}:`));
      const said = deployment.doctor(one.client.host, one.agent);
      expect(
        said.causes.filter(({ severity }) => severity !== "note"),
        JSON.stringify(said),
      ).toEqual([]);
      await one.counter.goesOn("through the hairpin");
    });
    await one.session.stop();
  });
});
