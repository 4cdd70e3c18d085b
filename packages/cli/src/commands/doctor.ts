import { sleep } from "coder-client/base/backoff";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { PeerPathReport } from "coder-client/node/path-report";
import { BaseCommand } from "../base-command.ts";
import { findCauses } from "../diagnosis/causes.ts";
import { doctorLines, isHealthy } from "../diagnosis/doctor-text.ts";
import { diedInSample } from "../diagnosis/path-causes.ts";
import { isDecided } from "../diagnosis/search.ts";
import { EXIT } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag } from "../flags/spec.ts";
import { connectWorkspace } from "../services/connect.ts";
import { openDeployment } from "../services/deployment.ts";
import { collectFacts } from "../services/facts.ts";
import { PATH_FLAGS, pathConnectOptions } from "../services/path-options.ts";
import { pingOnce } from "../services/ping.ts";
import { createLogger } from "../ui/logger.ts";
import { OUTPUT_FLAGS } from "../ui/output.ts";
import { printOwnJson } from "../ui/own-json.ts";
import { StageLine } from "../ui/stages.ts";
import { printable } from "../ui/text.ts";

/** The search for a direct path gets this long before it is judged … */
const SEARCH_MS = 6_000;
/** … and this much more where probes were too few, or their answers too contradictory, for a verdict: packets are lost. */
const LONGER_MS = 14_000;
const PING_EVERY_MS = 500;

/** Until the path is direct, `enough` says so, or the time is over. */
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

export default class Doctor extends BaseCommand {
  static override summary = "Find out why a connection is not direct, or slow";
  static override description =
    "Connects, waits a few seconds for a direct path, has both ends look at their networks, and lists the causes: what was seen, who must change what. Exit code 0 when the connection is direct and healthy, 1 otherwise.";
  static override examples = ["<%= config.bin %> doctor dev", "<%= config.bin %> doctor dev --output json"];
  static override specs = [...PATH_FLAGS, ...OUTPUT_FLAGS.filter((flag) => flag.name === "output")];
  static override words = [{ name: "workspace", summary: "[owner/]workspace[.agent]", required: true }];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const stages = new StageLine();
    try {
      const { connection } = await connectWorkspace({
        ...pathConnectOptions(line),
        deployment: openDeployment(line.values),
        signal,
        logger: createLogger({ verbose: booleanFlag(line.values, "verbose"), logDir: undefined }),
        onStage: (text) => stages.set(text),
      });
      try {
        stages.set("Looking for a direct path");
        await search(connection, SEARCH_MS, signal, () => false);
        await search(connection, LONGER_MS, signal, isDecided);
        stages.set("Asking both ends about their networks");
        let facts = await collectFacts(connection, signal);
        if (!isDecided(facts.report) || (facts.sample !== undefined && diedInSample(facts.sample))) {
          stages.set("The path fell silent: looking for it again");
          await search(connection, LONGER_MS, signal, isDecided);
          const later = await collectFacts(connection, signal);
          // A path that comes back is no less one that fell silent.
          const died = facts.sample !== undefined && diedInSample(facts.sample);
          facts = died ? { ...later, sample: facts.sample! } : later;
        }
        const causes = findCauses(facts);
        stages.clear();
        if (line.values["output"] === "json")
          printOwnJson({
            healthy: isHealthy(facts.report, causes),
            peer: facts.report,
            seen_by_peer: facts.agentView ?? null,
            causes,
          });
        else for (const text of doctorLines(facts.report, causes)) process.stdout.write(`${printable(text)}\n`);
        return isHealthy(facts.report, causes) ? EXIT.ok : EXIT.failure;
      } finally {
        await connection.close();
      }
    } finally {
      stages.clear();
    }
  }
}
