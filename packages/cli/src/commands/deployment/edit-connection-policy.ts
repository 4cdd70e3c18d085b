import { BROWSER_ONLY_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class DeploymentEditConnectionPolicy extends BaseCommand<typeof DeploymentEditConnectionPolicy> {
  static override summary = "Set which clients may connect to workspaces";
  static override description =
    "enforced: only web browsers may connect to workspaces; open tunnels end within seconds, web terminals and apps stay. default: the same, except for workspaces whose policy is any. off: the policies of users and workspaces decide. A stricter --browser-only of the server stays in force. Owners only.";
  static override examples = [
    "<%= config.bin %> deployment edit-connection-policy enforced",
    "<%= config.bin %> deployment edit-connection-policy off",
  ];
  static override args = { ...BROWSER_ONLY_WORD };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { readRule, setDeploymentPolicy } = await import("../../rest/connection-policies.ts");
    const rule = readRule(this.args.rule);
    const policy = await setDeploymentPolicy(await this.openDeployment(), rule, signal);
    this.display.say(`Browser-only mode of the deployment: ${policy.browser_only}`);
    if (policy.browser_only !== policy.set)
      this.display.say("The server was started with --browser-only, which only its next start can lift");
  }
}
