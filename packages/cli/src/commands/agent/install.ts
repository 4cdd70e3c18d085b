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
  static override summary = "Install the agent as a systemd service and start it";
  static override description =
    "Writes a unit, and a settings file with the token that only its owner may read. Run as root, it installs a system service; otherwise, a service of your own. The agent's options and variables are stored in the settings; another run changes those that are given and keeps the rest.";
  static override examples = [
    "sudo <%= config.bin %> agent install --agent-url https://coder.example.com --agent-token-file token --run-as ada",
    "CODER_AGENT_URL=https://coder.example.com CODER_AGENT_TOKEN=… <%= config.bin %> agent install --user",
    "<%= config.bin %> agent install --print",
  ];
  static override flags = {
    ...INSTALL_FLAGS,
    "run-as": text({
      helpValue: "<account>",
      summary: "Account under which users work in the workspace; default: the user who called sudo, otherwise root",
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
