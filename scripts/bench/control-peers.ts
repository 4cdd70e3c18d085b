/**
 * Many agents and clients of one control plane, with the real protocol and no tunnels below, in a process of their own.
 * Every client has a tunnel to one agent of this process. Driven by JSON lines, see processes.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { agentAddresses } from "../../packages/protocol/src/addresses.ts";
import { SimulatedPeer, type Site } from "./control-peer.ts";
import type { AgentLogin } from "./control-server.ts";
import { answerRequests } from "./processes.ts";

const UPDATE_WITHIN_MS = 10_000;

interface Pair {
  readonly login: AgentLogin;
  readonly agent: SimulatedPeer;
  readonly client: SimulatedPeer;
}

let site: Site;
const stop = new AbortController();
const pairs: Pair[] = [];

await answerRequests({
  async site(request) {
    site = { url: String(request["url"]), signal: stop.signal };
    return {};
  },

  /** Connects all at once, as after a power cut. */
  async connect(request) {
    for (const login of request["agents"] as AgentLogin[]) {
      const agent = SimulatedPeer.agent(site, login);
      pairs.push({ agent, client: SimulatedPeer.client(site, login), login });
    }
    for (const { agent, client } of pairs) {
      agent.start();
      client.start();
    }
    return await settled(Number(request["withinMs"]));
  },

  /** Waits until every peer has received its counterpart's node again. */
  async settled(request) {
    return await settled(Number(request["withinMs"]));
  },

  /** Agents change their nodes, one after the other; measures the time until each one's client has received it. */
  async fanOut(request) {
    const took: number[] = [];
    const count = Number(request["count"]);
    for (let i = 0; i < count; i++) {
      const { agent, client } = pairs[i % pairs.length]!;
      took.push(await updateSeen(agent, [client]).then(([first]) => first!));
      await sleep(Number(request["everyMs"]));
    }
    return { took };
  },

  /** As fanOut, for additional clients of the first agent, all at once. They disconnect afterwards. */
  async crowdFanOut(request) {
    const { agent, login } = pairs[0]!;
    const leave = new AbortController();
    const crowd = Array.from({ length: Number(request["clients"]) }, () =>
      SimulatedPeer.client({ ...site, signal: leave.signal }, login),
    );
    for (const client of crowd) client.start();
    const end = performance.now() + Number(request["withinMs"]);
    while (!crowd.every(({ paired }) => paired)) {
      if (performance.now() > end) throw new Error("the crowd did not connect in time");
      await sleep(20);
    }
    await sleep(Number(request["settleMs"]));
    const took: number[] = [];
    for (let i = 0; i < Number(request["count"]); i++) {
      took.push(...(await updateSeen(agent, crowd)));
      await sleep(100);
    }
    leave.abort();
    return { took };
  },
});
process.exit(0);

async function settled(withinMs: number): Promise<object> {
  const peers = pairs.flatMap(({ agent, client }) => [agent, client]);
  for (const end = performance.now() + withinMs; performance.now() < end; await sleep(10)) {
    if (!peers.every(({ paired }) => paired)) continue;
    const at = Math.max(...peers.map(({ pairedAt }) => pairedAt));
    return { atMs: performance.timeOrigin + at, errors: SimulatedPeer.takeErrors() };
  }
  const left = peers.filter(({ paired }) => !paired).length;
  const errors = JSON.stringify(SimulatedPeer.takeErrors());
  throw new Error(`${left} of ${peers.length} peers did not learn of their peer within ${withinMs} ms: ${errors}`);
}

/** Milliseconds until each of the clients has the agent's new node. */
async function updateSeen(agent: SimulatedPeer, clients: readonly SimulatedPeer[]): Promise<number[]> {
  const signal = AbortSignal.timeout(UPDATE_WITHIN_MS);
  const heard = clients.map((client) => client.nextNode(agent.id, signal));
  const sent = performance.now();
  agent.changeNode(agentAddresses(agent.id));
  return (await Promise.all(heard)).map((at) => at - sent);
}
