import { UsageError } from "../errors/usage-error.ts";
import { word } from "../flags/kinds.ts";
import { type DefinedCommand, textsOf } from "../help/command-texts.ts";
import { SHELLS } from "../help/shells.ts";
import { BaseCommand } from "./base-command.ts";

export default class Completion extends BaseCommand<typeof Completion> {
  static override summary = "Print a script that completes commands, flags and workspace names";
  static override examples = [
    "<%= config.bin %> completion bash >> ~/.bashrc",
    "<%= config.bin %> completion zsh >> ~/.zshrc",
    "<%= config.bin %> completion fish > ~/.config/fish/completions/coder.fish",
  ];
  static override args = { shell: word({ description: SHELLS.join(", ") }) };

  protected override async execute(): Promise<undefined> {
    const { completionScript } = await import("../help/completion.ts");
    const shell = this.args.shell ?? process.env["SHELL"]?.split("/").pop() ?? "bash";
    const classes = await Promise.all(this.config.commands.map(async ({ id, load }) => [id, await load()] as const));
    const script = completionScript(
      shell,
      Object.fromEntries(classes.map(([id, command]) => [id, textsOf(command as DefinedCommand)])),
    );
    if (script === undefined)
      throw new UsageError(`no completion for "${shell}"; there is one for: ${SHELLS.join(", ")}`);
    this.display.print(script);
  }
}
