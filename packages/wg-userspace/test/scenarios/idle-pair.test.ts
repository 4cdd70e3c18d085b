/** What an idle session costs, and that it responds at once when it is used again. */
import { describe, expect, it } from "vitest";
import { bothDirect, RELAY } from "./home-pair.ts";
import { type SiteKind, Sites } from "./sites.ts";

const MINUTES = 60;
/** The keepalive interval of the command and of the library. */
const KEEPALIVE_MS = 25_000;
/** `coder ssh` asks for a sign of life this often; the answer comes in the tunnel. */
const QUESTION_MS = 15_000;
/** The shortest memory of a router that natlab and the random networks know. */
const SHORT_MEMORY = { expiryMs: 30_000 };

function pair(kind: SiteKind) {
  const sites = new Sites(5);
  const client = sites.node(sites.add(kind, SHORT_MEMORY), { persistentKeepaliveMs: KEEPALIVE_MS });
  const agent = sites.node(sites.add(kind, SHORT_MEMORY));
  const { net } = sites;
  net.run(500);
  net.introduce(client, agent);
  net.run(60_000, () => bothDirect(client, agent));
  net.run(20_000);
  return { sites, net, client, agent };
}

type Pair = ReturnType<typeof pair>;

/** Lets an hour pass and expects that neither side is woken more often per minute than `most` says. */
function expectRest({ net, client, agent }: Pair, most: { readonly client: number; readonly agent: number }): void {
  const before = { client: client.wakes, agent: agent.wakes };
  net.run(MINUTES * 60_000);
  expect((client.wakes - before.client) / MINUTES).toBeLessThanOrEqual(most.client);
  expect((agent.wakes - before.agent) / MINUTES).toBeLessThanOrEqual(most.agent);
}

/** How long a question through the tunnel takes; undefined: more than `limitMs`. */
function ask({ net, client, agent }: Pair, limitMs: number): number | undefined {
  let answered = false;
  const start = net.now;
  client.engine.netstack.ping(
    "tsmp",
    agent.tunnelAddress,
    () => {
      answered = true;
    },
    start,
  );
  return net.run(limitMs, () => answered) ? net.now - start : undefined;
}

describe("an idle session", () => {
  it("on a direct path wakes neither side more than a few times a minute, and the path is kept", () => {
    const one = pair("home");
    expectRest(one, { client: 16, agent: 14 });
    expect(bothDirect(one.client, one.agent)).toBe(true);
    expect(ask(one, 100)).toBeDefined();
  });

  it("with a sign of life asked for every 15 s costs one heartbeat of each side for it", () => {
    const one = pair("home");
    const question = (): void => {
      one.client.engine.netstack.ping("tsmp", one.agent.tunnelAddress, () => undefined, one.net.now);
      one.net.internet.at(one.net.now + QUESTION_MS, question);
    };
    question();
    expectRest(one, { client: 19, agent: 19 });
    expect(bothDirect(one.client, one.agent)).toBe(true);
  });

  it("by relay alone costs little as well", () => {
    const one = pair("symmetric");
    expect([one.client.pathTo(one.agent), one.agent.pathTo(one.client)]).toEqual([RELAY, RELAY]);
    expectRest(one, { client: 38, agent: 38 });
    expect(ask(one, 100)).toBeDefined();
  });
});
