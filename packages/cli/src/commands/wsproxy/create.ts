import { text, toggle } from "../../flags/kinds.ts";
import { PROXY_TEXT_FLAGS, PROXY_TOKEN_FLAGS } from "../../flags/proxies.ts";
import { BaseCommand } from "../base-command.ts";

export default class WsproxyCreate extends BaseCommand<typeof WsproxyCreate> {
  static override summary = "Create a workspace proxy and print its token once";
  static override description =
    "Without --name it asks for the name, and for the display name unless --display-name gives it. Owners only.";
  static override examples = [
    '<%= config.bin %> wsproxy create --name sydney --display-name "Sydney"',
    "<%= config.bin %> wsproxy create --name sydney --only-token > proxy-token",
  ];
  static override flags = {
    name: text({ helpValue: "<name>", summary: "Lower-case letters, digits and hyphens" }),
    ...PROXY_TEXT_FLAGS,
    ...PROXY_TOKEN_FLAGS,
    "no-prompt": toggle({ summary: "Do not ask: values without a flag stay empty, and a missing name is an error" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { createProxy, proxyNameProblem, tokenText } = await import("../../rest/workspace-proxies.ts");
    const { UsageError } = await import("../../errors/usage-error.ts");
    const { jsonText } = await import("../../ui/output.ts");
    const { ask } = this.display;
    const { name: given, icon = "", output } = this.flags;
    const asks = !this.flags["no-prompt"];
    const instead = "give --name";
    if (given === undefined && !asks) throw new UsageError("--name is missing, and --no-prompt forbids asking for it");
    const problem = given === undefined ? undefined : proxyNameProblem(given);
    if (problem !== undefined) throw new UsageError(problem.replace(/\.$/, ""));
    const name = given ?? (await ask("Name of the proxy: ", { signal, instead, check: proxyNameProblem }));
    // If the name was given by a flag, nothing is asked: a script runs this, or a user who knows the other flags.
    const displayName =
      this.flags["display-name"] ??
      (given === undefined ? await ask("Display name (may be empty): ", { signal, instead }) : "");
    const made = await createProxy(await this.openDeployment(), { name, displayName, icon }, signal);
    if (this.flags["only-token"]) this.display.print(`${made.proxy_token}\n`);
    else if (output === "json") this.display.print(jsonText(made));
    else {
      this.display.say(`Workspace proxy ${made.proxy.name} has been created.`);
      this.display.print(tokenText(made));
    }
  }
}
