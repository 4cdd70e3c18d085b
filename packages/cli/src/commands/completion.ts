import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { UsageError } from "../flags/spec.ts";
import { completionScript, SHELLS } from "../services/completion.ts";

const WORDS = [{ name: "shell", summary: SHELLS.join(", ") }];

export default class Completion extends BaseCommand {
  static override summary = "Print a script that completes commands, flags and workspace names";
  static override examples = [
    "<%= config.bin %> completion bash >> ~/.bashrc",
    "<%= config.bin %> completion zsh >> ~/.zshrc",
    "<%= config.bin %> completion fish > ~/.config/fish/completions/coder.fish",
  ];
  static override words = WORDS;

  protected override async execute(line: ParsedLine): Promise<undefined> {
    const shell = line.words[0] ?? process.env["SHELL"]?.split("/").pop() ?? "bash";
    const { allCommands } = await import("../cli.ts");
    const script = completionScript(shell, await allCommands());
    if (script === undefined)
      throw new UsageError(`no completion for "${shell}"; there is one for: ${SHELLS.join(", ")}`);
    process.stdout.write(script);
  }
}
