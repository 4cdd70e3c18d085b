import { type CommandTexts, usageOf } from "./command-groups.ts";
import { Ending } from "./ending.ts";
import { reportFailure } from "./errors/report.ts";
import { EXIT, UserError } from "./errors/user-error.ts";
import { GLOBAL_FLAGS, HELP_FLAG } from "./flags/global.ts";
import { type ParsedLine, parseLine } from "./flags/parse.ts";
import type { FlagSpec } from "./flags/spec.ts";
import { optionTable } from "./ui/options.ts";

/**
 * A command: its words, flags and help texts, all in tables. The line is parsed the same way as in the lean start; help is
 * rendered by a part that is loaded only when it is wanted. The one place that turns failures into words and exit codes.
 */
export abstract class BaseCommand {
  static summary = "";
  static description: string | undefined;
  /** Lines of a shell; `<%= config.bin %>` stands for the command's name. */
  static examples: readonly string[] = [];
  static specs: readonly FlagSpec[] = [];
  /** Positional words by name, for help and for the check of their number. `required` ones come first. */
  static words: readonly { readonly name: string; readonly summary: string; readonly required?: boolean }[] = [];
  /** Whether further words belong to the command, as with a remote command line. */
  static takesRest = false;

  /** Runs until it is stopped: a requested termination is a success, and takes its time. */
  static isService = false;

  /** Reads files again on SIGHUP, and goes on. */
  static reloads = false;

  /** Words of its name, joined by colons. */
  readonly id: string;
  readonly argv: readonly string[];

  constructor(id: string, argv: readonly string[]) {
    this.id = id;
    this.argv = argv;
  }

  /** Does the work. Returns the exit code; nothing means 0. */
  protected abstract execute(line: ParsedLine, signal: AbortSignal): Promise<number | undefined>;

  /**
   * Runs it and ends the process.
   * @param below The commands whose names begin with this one's, for its help page.
   */
  async run(below: () => Promise<Readonly<Record<string, CommandTexts>>> = async () => ({})): Promise<never> {
    const command = this.constructor as typeof BaseCommand;
    const ending = new Ending({ service: command.isService, reloads: command.reloads });
    let exit: number;
    try {
      const specs = [...command.specs, ...GLOBAL_FLAGS, HELP_FLAG];
      const line = parseLine(
        specs,
        this.argv,
        process.env,
        command.takesRest ? { wordsBeforeRest: command.words.length } : {},
      );
      if (line.values["help"] === true) {
        const { renderHelp } = await import("./help.ts");
        process.stdout.write(renderHelp({ ...(await below()), [this.id]: command }, this.id.split(":")));
        exit = EXIT.ok;
      } else if (line.values["debug-options"] === true) {
        process.stdout.write(optionTable(specs, line));
        exit = EXIT.ok;
      } else {
        this.#checkWords(command, line);
        exit = (await this.execute(line, ending.signal)) ?? EXIT.ok;
      }
    } catch (error) {
      exit = reportFailure(error, ending.signal);
    }
    return ending.end(exit);
  }

  #checkWords(command: typeof BaseCommand, line: ParsedLine): void {
    const missing = command.words[line.words.length];
    const usage = `usage: coder ${usageOf(command, this.id)}`;
    if (missing?.required === true) throw new UsageErrorWithHint(`"${missing.name}" is missing`, usage);
    if (!command.takesRest && line.words.length > command.words.length) {
      throw new UsageErrorWithHint(`unexpected word "${line.words[command.words.length]}"`, usage);
    }
  }
}

class UsageErrorWithHint extends UserError {
  constructor(message: string, usage: string) {
    super(message, { why: usage, code: "ERR_USAGE", exit: EXIT.usage });
  }
}
