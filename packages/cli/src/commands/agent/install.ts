import { UsageError } from "../../errors/usage-error.ts";
import { AGENT_FLAGS } from "../../flags/agent.ts";
import { GLOBAL_FLAGS } from "../../flags/global.ts";
import { text } from "../../flags/kinds.ts";
import { givenSettings, INSTALL_FLAGS } from "../../flags/service.ts";
import { BaseCommand } from "../base-command.ts";

/**
 * Flags of the agent that a systemd service keeps. It is not process 1, its token is kept in one place, and its apps are in their
 * own file.
 */
const { "no-reap": _, app: _apps, ...KEPT } = AGENT_FLAGS;
/** Flags of every command that the agent uses too. */
const COMMON = {
  "ca-file": GLOBAL_FLAGS["ca-file"],
  "client-cert": GLOBAL_FLAGS["client-cert"],
  "client-key": GLOBAL_FLAGS["client-key"],
  verbose: GLOBAL_FLAGS.verbose,
};

export default class AgentInstall extends BaseCommand<typeof AgentInstall> {
  static override summary = "Install the agent as a service of systemd, and start it";
  static override description =
    "Writes a unit and, readable by its owner only, a file of settings with the token. As root it is a service of the system, without root one of your own. What the options and variables of the agent say is kept in the settings; called again, it changes what is given and leaves the rest.";
  static override examples = [
    "sudo <%= config.bin %> agent install --agent-url https://coder.example.com --agent-token-file token --run-as ada",
    "CODER_AGENT_URL=https://coder.example.com CODER_AGENT_TOKEN=… <%= config.bin %> agent install --user",
    "<%= config.bin %> agent install --print",
  ];
  static override flags = {
    ...INSTALL_FLAGS,
    "run-as": text({
      helpValue: "<account>",
      summary: "Account that people of the workspace work as; default: who called sudo, else root",
    }),
    ...KEPT,
  };

  protected override async execute(): Promise<undefined> {
    const { flags } = this;
    const runAs = flags["run-as"];
    if (runAs !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$/.test(runAs))
      throw new UsageError(`--run-as is "${runAs}"; it takes the name of an account`);
    const { installAgent } = await import("../../hosting/service-commands.ts");
    await installAgent(
      {
        user: flags.user,
        now: flags.now,
        print: flags.print,
        runAs: runAs ?? (process.env["SUDO_USER"] || "root"),
        url: flags["agent-url"],
        token: flags["agent-token"],
        tokenFile: flags["agent-token-file"],
        settings: givenSettings({ ...KEPT, ...COMMON }, flags, this.origins),
      },
      this.display,
    );
  }
}
