import { UsageError } from "../../errors/usage-error.ts";
import { SHARE_LEVELS } from "../../flags/apps.ts";
import { choice, duration, exactText, word } from "../../flags/kinds.ts";
import { AGENT_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class AppsShare extends BaseCommand<typeof AppsShare> {
  static override summary = "Share a port of a workspace";
  static override description =
    "A port that ends in s speaks https. The level owner ends the share. Declared apps are shared with: coder apps edit WORKSPACE APP --share LEVEL";
  static override examples = [
    "<%= config.bin %> apps share dev 3000 --level authenticated --for 8h",
    "<%= config.bin %> apps share dev 3000 --level owner",
  ];
  static override flags = {
    level: choice({ options: SHARE_LEVELS, default: "authenticated", summary: "Who besides the owner may use it" }),
    for: duration({
      helpValue: "<duration>",
      summary: "How long it lasts; by default until it is removed. Without this flag an existing share keeps its end",
    }),
    label: exactText({
      helpValue: "<text>",
      summary: "What the share is for; by default an existing share keeps its label",
    }),
  };
  static override args = {
    ...AGENT_WORD,
    port: word({ required: true, description: "port of the workspace, such as 3000 or 8443s" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { findAppPlace, sharePort } = await import("../../rest/apps.ts");
    const { listPorts, shareAdvice } = await import("../../rest/agent-ports.ts");
    const { level, for: forMs, label } = this.flags;
    const match = /^([1-9][0-9]{0,4})(s?)$/.exec(this.args.port);
    if (match === null)
      throw new UsageError(
        `"${this.args.port}" is no port; a declared app is shared with: coder apps edit ${this.args.workspace} ${this.args.port} --share ${level}`,
      );
    const deployment = await this.openDeployment();
    const place = await findAppPlace(deployment, this.args.workspace, signal);
    const port = Number(match[1]);
    const wish = { port, secure: match[2] === "s", level, label, forMs };
    const { expiresAt } = await sharePort(deployment, place, wish, signal);
    const until = expiresAt === undefined ? "" : ` until ${expiresAt}`;
    if (level === "owner") {
      this.display.say(`Port ${port} is no longer shared`);
      return;
    }
    this.display.say(`Port ${port} is shared at the level "${level}"${until}`);
    try {
      const ports = await listPorts(deployment, place, signal);
      for (const line of shareAdvice(ports.find((row) => row.port === port))) this.display.say(line);
    } catch (error) {
      // The port is shared even if the list cannot be read.
      signal.throwIfAborted();
      const { printable } = await import("../../base/text.ts");
      this.display.say(`Cannot tell what listens there: ${printable((error as Error).message)}`);
    }
  }
}
