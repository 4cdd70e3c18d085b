import { CONNECTION_POLICY_WORD, USER_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class UsersEditConnectionPolicy extends BaseCommand<typeof UsersEditConnectionPolicy> {
  static override summary = "Set which clients a user may connect with";
  static override description =
    "browser-only: the user may connect only with web browsers; open tunnels end within seconds, web terminals and apps stay. inherit and any leave the decision to the deployment and the workspace. Owners only.";
  static override examples = [
    "<%= config.bin %> users edit-connection-policy alice browser-only",
    "<%= config.bin %> users edit-connection-policy alice inherit",
  ];
  static override args = { ...USER_WORD, ...CONNECTION_POLICY_WORD };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { readPolicy, setUserPolicy } = await import("../../rest/connection-policies.ts");
    const policy = readPolicy(this.args.policy);
    const user = await setUserPolicy(await this.openDeployment(), this.args.user, policy, signal);
    this.display.say(`Connection policy of user ${user.username}: ${this.args.policy}`);
  }
}
