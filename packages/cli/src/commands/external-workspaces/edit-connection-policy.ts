import { CONNECTION_POLICY_WORD, WORKSPACE_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class ExternalWorkspacesEditConnectionPolicy extends BaseCommand<
  typeof ExternalWorkspacesEditConnectionPolicy
> {
  static override summary = "Set which clients may connect to a workspace";
  static override description =
    "browser-only: only web browsers may connect; open tunnels end within seconds, web terminals and apps stay. any: exempts this workspace from the deployment's rule default. inherit: the deployment's rule applies. Owners of the deployment only.";
  static override examples = [
    "<%= config.bin %> external-workspaces edit-connection-policy alice/build-box browser-only",
    "<%= config.bin %> external-workspaces edit-connection-policy build-box any",
  ];
  static override args = { ...WORKSPACE_WORD, ...CONNECTION_POLICY_WORD };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { readPolicy, setWorkspacePolicy } = await import("../../rest/connection-policies.ts");
    const policy = readPolicy(this.args.policy);
    const name = await setWorkspacePolicy(await this.openDeployment(), this.args.workspace, policy, signal);
    this.display.say(`Connection policy of workspace ${name}: ${this.args.policy}`);
  }
}
