import { sleep } from "coder-client/backoff";
import { BaseCommand } from "../base-command.ts";
import { findCauses } from "../diagnosis/causes.ts";
import { doctorLines, isHealthy } from "../diagnosis/doctor-text.ts";
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

/** The search for a direct path gets this long before it is judged. */
const SEARCH_MS = 6_000;
const PING_EVERY_MS = 500;

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
        const until = performance.now() + SEARCH_MS;
        while (performance.now() < until && connection.pathReport().path?.kind !== "direct") {
          await pingOnce(connection, PING_EVERY_MS, signal);
          await sleep(PING_EVERY_MS, signal);
        }
        stages.set("Asking both ends about their networks");
        const facts = await collectFacts(connection, signal);
        const causes = findCauses(facts);
        stages.clear();
        if (line.values["output"] === "json")
          printOwnJson({ healthy: isHealthy(facts.report, causes), peer: facts.report, causes });
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
