/** The work of `coder support bundle`. */
import { writeFileSync } from "node:fs";
import { readConfig } from "../base/config-dir.ts";
import { UserError } from "../errors/user-error.ts";
import { type DeploymentOptions, openDeployment } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { memoryLogger } from "../ui/logger.ts";
import { Redactor } from "./redaction.ts";
import { collectBundle, zipBundle } from "./support-bundle.ts";

export interface SupportBundleOptions {
  readonly deployment: DeploymentOptions;
  /** The workspace and possibly its agent, as typed. */
  readonly workspace: string | undefined;
  readonly disableDirect: boolean;
  /** Absolute path. */
  readonly file: string;
  /** Asks whether to go ahead, once a deployment is known. */
  readonly confirm: () => Promise<boolean>;
}

export async function runSupportBundle(
  { deployment: options, workspace, disableDirect, file, confirm }: SupportBundleOptions,
  { stages, say }: Display,
  signal: AbortSignal,
): Promise<void> {
  const deployment = openDeployment(options);
  if (!(await confirm())) {
    say("Nothing was collected");
    return;
  }
  const log = memoryLogger();
  const bundle = await collectBundle({
    deployment,
    workspace,
    disableDirect,
    redactor: new Redactor([
      deployment.token,
      readConfig(options.configDir, "session"),
      ...options.headers.map((header) => header.slice(header.indexOf("=") + 1)),
    ]),
    logger: log.logger,
    ownLog: log.text,
    warn: say,
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
