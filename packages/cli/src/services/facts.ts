/** Collects what the diagnosis needs from both ends of a connection. */
import { sleep } from "coder-client/backoff";
import type { WorkspaceConnection } from "coder-client/workspace-connection";
import type { Facts } from "../diagnosis/causes.ts";
import { agentNetwork } from "./agent-api.ts";
import { localInterfaces } from "./interfaces.ts";

/** Our own first report is on its way when a connection is young. */
const OWN_REPORT_MS = 5_000;
const POLL_MS = 50;
const AGENT_MS = 12_000;

/** Never rejects: what cannot be had in time is missing, with the reason. */
export async function collectFacts(connection: WorkspaceConnection, signal: AbortSignal): Promise<Facts> {
  const [own, agent] = await Promise.all([
    ownReport(connection, signal),
    agentNetwork(connection, AbortSignal.any([signal, AbortSignal.timeout(AGENT_MS)])).catch((error: unknown) =>
      error instanceof Error ? error.message : String(error),
    ),
  ]);
  const map = connection.derpMap;
  return {
    report: connection.pathReport(),
    own,
    agent: typeof agent === "string" ? undefined : agent.report,
    ...(typeof agent === "string" ? { agentMissing: agent } : {}),
    ownInterfaces: localInterfaces(),
    agentInterfaces: typeof agent === "string" ? undefined : agent.interfaces,
    mapHasStun:
      map !== undefined && [...map.regions.values()].some(({ nodes }) => nodes.some((node) => node.stunPort >= 0)),
  };
}

async function ownReport(connection: WorkspaceConnection, signal: AbortSignal) {
  for (let waited = 0; waited < OWN_REPORT_MS && !signal.aborted; waited += POLL_MS) {
    const report = connection.netReport();
    if (report !== undefined) return report;
    await sleep(POLL_MS, signal).catch(() => undefined); // aborted: the loop's condition ends it
  }
  return connection.netReport();
}
