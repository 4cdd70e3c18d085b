/** Collects what the diagnosis needs from both ends of a connection. */
import { sleep } from "coder-client/base/backoff";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { Facts } from "coder-client/diagnosis/facts";
import { agentNetwork } from "../connection/agent-api.ts";
import { localInterfaces } from "./interfaces.ts";
import { nat64Prefix } from "./nat64.ts";

/** Waits for the answer to a first ping this long, even if the user's own limit is shorter. */
const ANSWER_MS = 5_000;
/** Waits this long for the first report of our own network, which may be pending on a young connection. */
const OWN_REPORT_MS = 5_000;
const POLL_MS = 50;
const AGENT_MS = 12_000;

/** Probes the direct path only: enough to see a loss of a few percent, within three seconds. */
const SAMPLE = { count: 40, everyMs: 50, waitMs: 1_000 };

/**
 * Never rejects: a fact that cannot be had in time is missing, with the reason.
 * @param pingTimeoutMs How long the user lets one ping take.
 */
export async function collectFacts(
  connection: WorkspaceConnection,
  signal: AbortSignal,
  pingTimeoutMs?: number,
): Promise<Facts> {
  const [own, agent, sample, nat64] = await Promise.all([
    ownReport(connection, signal),
    agentNetwork(connection, AbortSignal.any([signal, AbortSignal.timeout(AGENT_MS)])).catch((error: unknown) =>
      error instanceof Error ? error.message : String(error),
    ),
    connection.sampleDirect({ ...SAMPLE, signal }),
    nat64Prefix(),
  ]);
  if (pingTimeoutMs !== undefined) await firstAnswer(connection, signal);
  const map = connection.derpMap;
  return {
    report: connection.pathReport(),
    own,
    agent: typeof agent === "string" ? undefined : agent.report,
    agentMissing: typeof agent === "string" ? agent : undefined,
    agentView: typeof agent === "string" ? undefined : agent.peer,
    pingTimeoutMs,
    sample: sample.sent === 0 ? undefined : sample,
    nat64Prefix: nat64,
    ownInterfaces: localInterfaces(),
    agentInterfaces: typeof agent === "string" ? undefined : agent.interfaces,
    mapHasStun:
      map !== undefined && [...map.regions.values()].some(({ nodes }) => nodes.some((node) => node.stunPort >= 0)),
  };
}

/** Waits until any path was measured: only then can a lost ping be distinguished from one whose limit was too short. */
async function firstAnswer(connection: WorkspaceConnection, signal: AbortSignal): Promise<void> {
  for (let waited = 0; waited < ANSWER_MS && !signal.aborted; waited += POLL_MS) {
    const { relayRttMs, candidates } = connection.pathReport();
    if (relayRttMs !== undefined || candidates.some(({ rttMs }) => rttMs !== undefined)) return;
    await sleep(POLL_MS, signal).catch(() => undefined); // aborted: the loop's condition ends it
  }
}

async function ownReport(connection: WorkspaceConnection, signal: AbortSignal) {
  for (let waited = 0; waited < OWN_REPORT_MS && !signal.aborted; waited += POLL_MS) {
    const report = connection.netReport();
    if (report !== undefined) return report;
    await sleep(POLL_MS, signal).catch(() => undefined); // aborted: the loop's condition ends it
  }
  return connection.netReport();
}
