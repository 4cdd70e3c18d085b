/**
 * Many agents and clients of one control plane, with the real protocol and no tunnels below, in a process of their own.
 * Every client has a tunnel to one agent of this process. Driven by JSON lines, see processes.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { agentAddresses } from "../../packages/protocol/src/addresses.ts";
import { Pair } from "./control-pairs.ts";
import { SimulatedPeer, type Site } from "./control-peer.ts";
import { answerRequests } from "./processes.ts";
import type { AgentLogin } from "./registration.ts";

const UPDATE_WITHIN_MS = 10_000;

let site: Site;
const stop = new AbortController();
const pairs: Pair[] = [];
/** How long pairs were not complete, for those that became so since the last request. */
let gaps: number[] = [];

await answerRequests({
  async site(request) {
    site = { url: String(request["url"]), signal: stop.signal };
    return {};
  },

  /** Connects all at once, as after a power cut, and waits as `until` says. */
  async connect(request) {
    for (const login of request["agents"] as AgentLogin[])
      pairs.push(new Pair(site, login, (gapMs) => void gaps.push(gapMs)));
    for (const pair of pairs) pair.start();
    const withinMs = Number(request["withinMs"]);
    return request["until"] === "complete" ? await complete(withinMs) : await settled(withinMs);
  },

  /** Waits until every pair is complete; answers how long those that became complete since the last call were not. */
  async complete(request) {
    const answer = await complete(Number(request["withinMs"]));
    const took = gaps;
    gaps = [];
    return { ...answer, gaps: took, lost: SimulatedPeer.takeLost() };
  },

  /** What every peer has announced last: to be compared with what the servers have. */
  async announced() {
    return {
      pairs: pairs.map(({ agentId, agent, client }) => ({
        agentId,
        agentMark: agent.sentMark,
        clientKey: client.key,
        clientMark: client.sentMark,
      })),
    };
  },

  /** Waits until every peer has received its counterpart's node again. */
  async settled(request) {
    return await settled(Number(request["withinMs"]));
  },

  /**
   * Agents change their nodes, one after the other; measures the time until each one's client has received it. With `only`,
   * those agents alone.
   */
  async fanOut(request) {
    const took: number[] = [];
    const count = Number(request["count"]);
    const only = request["only"] === undefined ? undefined : new Set(request["only"] as string[]);
    const changed = pairs.filter(({ agentId }) => only?.has(agentId) !== false);
    if (changed.length === 0) throw new Error("none of those agents is here");
    for (let i = 0; i < count; i++) {
      const { agent, client } = changed[i % changed.length]!;
      took.push(await updateSeen(agent, [client]).then(([first]) => first!));
      await sleep(Number(request["everyMs"]));
    }
    return { took };
  },

  /**
   * Like fanOut, but for additional clients of the first agent, with these logins in turn, all at once. They disconnect
   * afterwards.
   */
  async crowdFanOut(request) {
    const { agent, login } = pairs[0]!;
    const leave = new AbortController();
    const tokens = request["tokens"] as string[];
    const crowd = Array.from({ length: Number(request["clients"]) }, (_, i) =>
      SimulatedPeer.client({ ...site, signal: leave.signal }, { ...login, ownerToken: tokens[i % tokens.length]! }),
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

async function complete(withinMs: number): Promise<{ readonly atMs: number; readonly errors: Record<string, number> }> {
  for (const end = performance.now() + withinMs; performance.now() < end; await sleep(20)) {
    if (!pairs.every(({ isComplete }) => isComplete)) continue;
    const at = Math.max(...pairs.map(({ completeAt }) => completeAt));
    return { atMs: performance.timeOrigin + at, errors: SimulatedPeer.takeErrors() };
  }
  const left = pairs.filter(({ isComplete }) => !isComplete).length;
  const errors = JSON.stringify(SimulatedPeer.takeErrors());
  throw new Error(`${left} of ${pairs.length} pairs are not complete within ${withinMs} ms: ${errors}`);
}

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
