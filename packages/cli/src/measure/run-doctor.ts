/** The work of `coder doctor`. */
import { sleep } from "coder-client/base/backoff";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { findCauses } from "coder-client/diagnosis/causes";
import { diedInSample } from "coder-client/diagnosis/path-causes";
import { isDecided } from "coder-client/diagnosis/search";
import type { PeerPathReport } from "coder-client/node/path-report";
import { printable } from "../base/text.ts";
import { type ConnectRequest, connectWorkspace } from "../connection/connect.ts";
import { answeredByLines } from "../diagnosis/answered-by.ts";
import { doctorLines, isHealthy } from "../diagnosis/doctor-text.ts";
import { EXIT } from "../errors/user-error.ts";
import { type DeploymentOptions, openDeployment } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { createLogger } from "../ui/logger.ts";
import { ownJson } from "../ui/own-json.ts";
import { collectFacts } from "./gather-facts.ts";
import { pingOnce } from "./ping.ts";

/** The search for a direct path gets this long before it is judged. */
const SEARCH_MS = 6_000;
/** Added to the search when there were too few probes for a verdict, or contradictory answers, because packets are lost. */
const LONGER_MS = 14_000;
const PING_EVERY_MS = 500;

export interface DoctorOptions {
  readonly deployment: DeploymentOptions;
  readonly connect: Pick<ConnectRequest, "name" | "wait" | "timeoutMs" | "disableDirect" | "region">;
  readonly verbose: boolean;
  readonly json: boolean;
}

/** Exits with 0 when the connection is direct and healthy. */
export async function runDoctor(
  { deployment, connect, verbose, json }: DoctorOptions,
  { stages, print, say }: Display,
  signal: AbortSignal,
): Promise<number> {
  try {
    const opened = openDeployment(deployment);
    const { connection } = await connectWorkspace({
      ...connect,
      deployment: opened,
      signal,
      logger: createLogger({ verbose, logDir: undefined }),
      onStage: (text) => stages.set(text),
      warn: say,
    });
    await using _closing = connection;
    const facts = await examine(connection, stages, signal);
    const causes = findCauses(facts);
    const healthy = isHealthy(facts.report, causes);
    stages.clear();
    if (json) {
      const replica = opened.answeredBy;
      const document = { healthy, peer: facts.report, seen_by_peer: facts.agentView ?? null, causes, replica };
      print(`${ownJson(document, 2)}\n`);
    } else {
      const lines = [...doctorLines(facts.report, causes), ...answeredByLines(opened.answeredBy, undefined)];
      for (const text of lines) print(`${printable(text)}\n`);
    }
    return healthy ? EXIT.ok : EXIT.failure;
  } finally {
    stages.clear();
  }
}

async function examine(connection: WorkspaceConnection, stages: Display["stages"], signal: AbortSignal) {
  stages.set("Looking for a direct path");
  await search(connection, SEARCH_MS, signal, () => false);
  await search(connection, LONGER_MS, signal, isDecided);
  stages.set("Asking both ends about their networks");
  const facts = await collectFacts(connection, signal);
  const died = facts.sample !== undefined && diedInSample(facts.sample);
  if (isDecided(facts.report) && !died) return facts;
  stages.set("The path fell silent: looking for it again");
  await search(connection, LONGER_MS, signal, isDecided);
  const later = await collectFacts(connection, signal);
  // Report the loss even if the path has come back.
  return died ? { ...later, sample: facts.sample! } : later;
}

/** Searches until the path is direct, `enough` is satisfied or the time is over. */
async function search(
  connection: WorkspaceConnection,
  limitMs: number,
  signal: AbortSignal,
  enough: (report: PeerPathReport) => boolean,
): Promise<void> {
  const until = performance.now() + limitMs;
  for (;;) {
    const report = connection.pathReport();
    if (report.path?.kind === "direct" || enough(report) || performance.now() >= until) return;
    await pingOnce(connection, PING_EVERY_MS, signal);
    await sleep(PING_EVERY_MS, signal);
  }
}
