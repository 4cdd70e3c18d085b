import { parseWorkspaceName } from "coder-protocol/names";
import { VERSION } from "../../base/version.ts";
import { deploymentOptions } from "../../flags/global.ts";
import { toggle, word } from "../../flags/kinds.ts";
import { PATH_FLAGS, pathOptions } from "../../flags/path.ts";
import { BaseCommand } from "../base-command.ts";

export default class OpenTerminal extends BaseCommand<typeof OpenTerminal> {
  static override summary = "Open the web terminal of a workspace in the browser";
  static override description =
    "Without --local, opens the deployment's page. With it, this command serves the page on 127.0.0.1, from its own files and through its own tunnel: direct where that is possible, and readable for no server. It ends with Ctrl-C, or 10 minutes after the last page of it was closed; programs in the terminals run on in the workspace.";
  static override examples = [
    "<%= config.bin %> open terminal dev",
    "<%= config.bin %> open terminal --local dev",
    "<%= config.bin %> open terminal --local --no-open alice/dev.main",
  ];
  static override flags = {
    local: toggle({
      env: "CODER_OPEN_TERMINAL_LOCAL",
      summary: "Serve the page on this machine, and reach the workspace through a tunnel of this command",
    }),
    "no-open": toggle({ summary: "Print the address only; it is also only printed where stderr is no terminal" }),
    "disable-autostart": toggle({ env: "CODER_SSH_DISABLE_AUTOSTART", summary: "Do not start a stopped workspace" }),
    ...PATH_FLAGS,
  };
  static override isService = true;
  static override args = {
    workspace: word({ required: true, description: "[owner/]workspace[.agent]" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { flags } = this;
    const opens = !flags["no-open"] && this.display.sayLive;
    if (!flags.local) return await this.#openPage(opens, signal);
    const { runLocalTerminal } = await import("../../web-terminal/run-local-terminal.ts");
    const options = {
      deployment: deploymentOptions(flags),
      connect: {
        ...pathOptions(this.args.workspace, flags),
        autostart: !flags["disable-autostart"],
        telemetry: flags["disable-network-telemetry"]
          ? undefined
          : { application: "open-terminal", clientVersion: VERSION },
      },
      verbose: flags.verbose,
      opens,
    };
    await runLocalTerminal(options, this.display, signal);
  }

  async #openPage(opens: boolean, signal: AbortSignal): Promise<undefined> {
    const { chooseAgent, findWorkspace } = await import("coder-client/rest/workspaces");
    const { openAddress } = await import("../../open/open-editor.ts");
    const name = parseWorkspaceName(this.args.workspace);
    const deployment = await this.openDeployment();
    const workspace = await findWorkspace(deployment, name, { signal });
    const agent = name.agent === undefined ? "" : `.${chooseAgent(workspace, name.agent).name}`;
    const page = `/@${workspace.ownerName}/${workspace.name}${agent}/terminal`;
    const address = `${deployment.url.href.replace(/\/$/, "")}${page}`;
    this.display.print(`${address}\n`);
    if (!opens) return;
    await openAddress(address).catch(() => {
      this.display.say("No program here can open addresses; open this one in a browser.");
    });
  }
}
