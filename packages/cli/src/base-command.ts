import { reportFailure } from "./errors/report.ts";
import { CancelledError, EXIT, UserError } from "./errors/user-error.ts";
import { GLOBAL_FLAGS } from "./flags/global.ts";
import { type ParsedLine, parseLine } from "./flags/parse.ts";
import type { FlagSpec } from "./flags/spec.ts";
import { optionTable } from "./ui/options.ts";

const HELP_FLAG: FlagSpec = { name: "help", char: "h", kind: "boolean", summary: "Show this help" };

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

  /** Words of its name, joined by colons. */
  readonly id: string;
  readonly argv: readonly string[];

  constructor(id: string, argv: readonly string[]) {
    this.id = id;
    this.argv = argv;
  }

  /** Does the work. Returns the exit code; nothing means 0. */
  protected abstract execute(line: ParsedLine, signal: AbortSignal): Promise<number | undefined>;

  /** Runs it and ends the process. */
  async run(): Promise<never> {
    const command = this.constructor as typeof BaseCommand;
    const cancel = new AbortController();
    const onSignal = (): void => cancel.abort(new CancelledError("interrupted"));
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
    process.on("SIGHUP", onSignal);
    // The reader of our output went away (`… | head`): nobody wants the rest.
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      cancel.abort(error.code === "EPIPE" ? new CancelledError("nobody reads the output") : error);
    });
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
        const { showHelp } = await import("./help.ts");
        await showHelp({ [this.id]: command }, this.id.split(":"));
        exit = EXIT.ok;
      } else if (line.values["debug-options"] === true) {
        process.stdout.write(optionTable(specs, line));
        exit = EXIT.ok;
      } else {
        this.#checkWords(command, line);
        exit = (await this.execute(line, cancel.signal)) ?? EXIT.ok;
      }
    } catch (error) {
      exit = reportFailure(error, cancel.signal);
    } finally {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
      process.off("SIGHUP", onSignal);
    }
    return exitWith(exit);
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

/** Ends the process once everything printed has left it. */
export async function exitWith(code: number): Promise<never> {
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise<void>((done) => stream.write("", () => done()))),
  );
  process.exit(code);
}

function usageOf(command: typeof BaseCommand, id: string): string {
  const words = command.words.map((word) => (word.required === true ? `<${word.name}>` : `[${word.name}]`));
  return [id.replaceAll(":", " "), ...words, ...(command.takesRest ? ["[command …]"] : [])].join(" ");
}
