import { BaseCommand } from "../../base-command.ts";
import { AGENT_FLAGS } from "../../flags/agent.ts";
import { GLOBAL_FLAGS } from "../../flags/global.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { INSTALL_FLAGS } from "../../flags/service.ts";
import { type FlagSpec, stringFlag, UsageError } from "../../flags/spec.ts";
import { agentToken, agentUrl } from "../../services/agent-identity.ts";
import { runInstall } from "../../services/service-commands.ts";
import { givenVariables, missingVariables, proxyVariables } from "../../systemd/settings.ts";

/** Those that a service of systemd has: it is no process 1, and its token is kept in one place. */
const KEPT = AGENT_FLAGS.filter(({ name }) => name !== "no-reap");
/** What holds for every command and the agent uses. */
const COMMON = GLOBAL_FLAGS.filter(({ name }) => ["ca-file", "client-cert", "client-key", "verbose"].includes(name));
const RUN_AS: FlagSpec = {
  name: "run-as",
  kind: "string",
  value: "account",
  summary: "Account that people of the workspace work as; default: who called sudo, else root",
};

export default class AgentInstall extends BaseCommand {
  static override summary = "Install the agent as a service of systemd, and start it";
  static override description =
    "Writes a unit and, readable by its owner only, a file of settings with the token. As root it is a service of the system, without root one of your own. What the options and variables of the agent say is kept in the settings; called again, it changes what is given and leaves the rest.";
  static override examples = [
    "sudo <%= config.bin %> agent install --agent-url https://coder.example.com --agent-token-file token --run-as ada",
    "CODER_AGENT_URL=https://coder.example.com CODER_AGENT_TOKEN=… <%= config.bin %> agent install --user",
    "<%= config.bin %> agent install --print",
  ];
  static override specs = [...INSTALL_FLAGS, RUN_AS, ...KEPT];

  protected override async execute(line: ParsedLine): Promise<undefined> {
    const { values } = line;
    const runAs = stringFlag(values, "run-as");
    if (runAs !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$/.test(runAs))
      throw new UsageError(`--run-as is "${runAs}"; it takes the name of an account`);
    const { CODER_AGENT_TOKEN_FILE: file, ...given } = givenVariables([...KEPT, ...COMMON], line);
    const named = given["CODER_AGENT_TOKEN"] ?? file;
    await runInstall({
      service: "agent",
      flags: values,
      variables: {
        ...proxyVariables(process.env),
        ...given,
        ...(given["CODER_AGENT_URL"] === undefined ? {} : { CODER_AGENT_URL: agentUrl(values).href }),
        ...(named === undefined ? {} : { CODER_AGENT_TOKEN: agentToken(values) }),
      },
      unit: (settings) => {
        if (values["print"] !== true) refuseMissing(settings, line);
        return { runAs: runAs ?? (process.env["SUDO_USER"] || "root") };
      },
    });
  }
}

/** Says what is missing as the agent itself would. */
function refuseMissing(settings: string, { values }: ParsedLine): void {
  const missing = missingVariables(settings, ["CODER_AGENT_URL", "CODER_AGENT_TOKEN"]);
  if (missing.includes("CODER_AGENT_URL")) agentUrl(values);
  if (missing.includes("CODER_AGENT_TOKEN")) agentToken(values);
}
