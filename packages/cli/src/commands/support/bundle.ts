import { resolve } from "node:path";
import { deploymentOptions } from "../../flags/global.ts";
import { text, word } from "../../flags/kinds.ts";
import { YES_FLAG } from "../../flags/output.ts";
import { BaseCommand } from "../base-command.ts";

export default class SupportBundle extends BaseCommand<typeof SupportBundle> {
  static override summary = "Collect information for support, in one zip file";
  static override description =
    "Gathers what this machine, the deployment and, if named, a workspace and its agent know about their network. Secrets are replaced, and a part that is not available contains the reason. Nothing is sent anywhere.";
  static override examples = [
    "<%= config.bin %> support bundle dev",
    "<%= config.bin %> support bundle --yes --output-file bundle.zip",
  ];
  static override flags = {
    "output-file": text({
      char: "O",
      env: "CODER_SUPPORT_BUNDLE_OUTPUT_FILE",
      helpValue: "<file>",
      summary: "File to write; default: coder-support-<time>.zip here",
    }),
    "url-override": text({
      env: "CODER_SUPPORT_BUNDLE_URL_OVERRIDE",
      helpValue: "<url>",
      summary: "Reach the deployment at this URL if its own does not work here",
    }),
    ...YES_FLAG,
  };
  static override args = {
    workspace: word({ description: "[owner/]workspace[.agent]" }),
    agent: word({ description: "agent, when there are several" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { flags } = this;
    const { workspace, agent } = this.args;
    const { runSupportBundle } = await import("../../entries/network.ts");
    const given = deploymentOptions(flags);
    const file = resolve(flags["output-file"] ?? `coder-support-${Math.floor(Date.now() / 1000)}.zip`);
    const about =
      workspace === undefined ? "this machine and the deployment" : `this machine, the deployment and "${workspace}"`;
    const options = {
      deployment: { ...given, url: flags["url-override"] ?? given.url },
      workspace: workspace === undefined || agent === undefined ? workspace : `${workspace}.${agent}`,
      disableDirect: flags["disable-direct-connections"],
      file,
      confirm: async () => flags.yes || this.confirm(`Write information about ${about} to ${file}?`, signal),
    };
    await runSupportBundle(options, this.display, signal);
  }
}
