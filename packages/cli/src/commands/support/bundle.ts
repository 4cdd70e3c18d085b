import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BaseCommand } from "../../base-command.ts";
import { readConfig } from "../../config-dir.ts";
import { UserError } from "../../errors/user-error.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { booleanFlag, type FlagSpec, listFlag, stringFlag } from "../../flags/spec.ts";
import { configDirOf, openDeployment } from "../../services/deployment.ts";
import { Redactor } from "../../services/redaction.ts";
import { collectBundle, zipBundle } from "../../services/support-bundle.ts";
import { memoryLogger } from "../../ui/logger.ts";
import { confirm } from "../../ui/prompt.ts";
import { say } from "../../ui/say.ts";
import { StageLine } from "../../ui/stages.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "output-file",
    char: "O",
    env: "CODER_SUPPORT_BUNDLE_OUTPUT_FILE",
    kind: "string",
    value: "file",
    summary: "File to write; default: coder-support-<time>.zip here",
  },
  {
    name: "url-override",
    env: "CODER_SUPPORT_BUNDLE_URL_OVERRIDE",
    kind: "string",
    value: "url",
    summary: "Reach the deployment at this URL, when its own is not the one that works here",
  },
  { name: "yes", char: "y", kind: "boolean", summary: "Skip confirmation prompts" },
];

export default class SupportBundle extends BaseCommand {
  static override summary = "Collect what somebody needs to help you, in one zip file";
  static override description =
    "Gathers what this machine, the deployment and, when one is named, a workspace and its agent say about their network. Secrets are replaced; a part that cannot be had says why. Nothing is sent anywhere.";
  static override examples = [
    "<%= config.bin %> support bundle dev",
    "<%= config.bin %> support bundle --yes --output-file bundle.zip",
  ];
  static override specs = FLAGS;
  static override words = [
    { name: "workspace", summary: "[owner/]workspace[.agent]" },
    { name: "agent", summary: "agent, when there are several" },
  ];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const { values } = line;
    const override = stringFlag(values, "url-override");
    const deployment = openDeployment(override === undefined ? values : { ...values, url: override });
    const file = resolve(stringFlag(values, "output-file") ?? `coder-support-${Math.floor(Date.now() / 1000)}.zip`);
    const [workspace, agent] = line.words;
    if (!booleanFlag(values, "yes")) {
      const about =
        workspace === undefined ? "this machine and the deployment" : `this machine, the deployment and "${workspace}"`;
      if (!(await confirm(`Write what there is to know about ${about} to ${file}?`, signal))) {
        say("Nothing was collected");
        return;
      }
    }
    const log = memoryLogger();
    const stages = new StageLine();
    const bundle = await collectBundle({
      deployment,
      workspace: workspace === undefined || agent === undefined ? workspace : `${workspace}.${agent}`,
      disableDirect: booleanFlag(values, "disable-direct-connections"),
      redactor: new Redactor([
        deployment.token,
        readConfig(configDirOf(values), "session"),
        ...listFlag(values, "header").map((header) => header.slice(header.indexOf("=") + 1)),
      ]),
      logger: log.logger,
      ownLog: log.text,
      signal,
      onPart: (name) => stages.set(`Collecting ${name}`),
    }).finally(() => stages.clear());
    try {
      writeFileSync(file, zipBundle(bundle), { mode: 0o600 });
    } catch (error) {
      throw new UserError(`Cannot write "${file}"`, {
        why: (error as NodeJS.ErrnoException).code,
        code: "ERR_WRITE",
        cause: error,
      });
    }
    say(`${bundle.summary}\nWrote ${file}`);
  }
}
