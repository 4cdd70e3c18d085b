import { Args, Command, Flags, type Interfaces } from "@oclif/core";
import { loadHelpClass } from "@oclif/core/help";
import { writeBugReport } from "./errors/bug-report.ts";
import { isCancelled, renderUserError, toUserError } from "./errors/present.ts";
import { CancelledError, EXIT, UserError } from "./errors/user-error.ts";
import { GLOBAL_FLAGS } from "./flags/global.ts";
import { type ParsedLine, parseLine } from "./flags/parse.ts";
import type { FlagSpec } from "./flags/spec.ts";
import { optionTable } from "./ui/options.ts";

const HELP_FLAG: FlagSpec = { name: "help", char: "h", kind: "boolean", summary: "Show this help" };

/**
 * A command: its words, flags and help. oclif finds it and renders its help; the line is parsed by the table of flags,
 * the same way as in the lean start. The one place that turns failures into words and exit codes.
 */
export abstract class BaseCommand extends Command {
  static specs: readonly FlagSpec[] = [];
  /** Positional words by name, for help and for the check of their number. `required` ones come first. */
  static words: readonly { readonly name: string; readonly summary: string; readonly required?: boolean }[] = [];
  /** Whether further words belong to the command, as with a remote command line. */
  static takesRest = false;
  static override strict = false;

  /** Does the work. Returns the exit code; nothing means 0. */
  protected abstract execute(line: ParsedLine, signal: AbortSignal): Promise<number | undefined>;

  override async run(): Promise<void> {
    const command = this.ctor as typeof BaseCommand;
    const cancel = new AbortController();
    const onSignal = (): void => cancel.abort(new CancelledError("interrupted"));
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
    process.on("SIGHUP", onSignal);
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
        const Help = await loadHelpClass(this.config);
        await new Help(this.config).showHelp([...(this.id ?? "").split(":")]);
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
    await exitWith(exit);
  }

  #checkWords(command: typeof BaseCommand, line: ParsedLine): void {
    const missing = command.words[line.words.length];
    const usage = `usage: coder ${usageOf(command, this.id ?? "")}`;
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

/** Prints what went wrong, once, to stderr. Returns the exit code. */
export function reportFailure(error: unknown, signal: AbortSignal): number {
  if (isCancelled(error) || (signal.aborted && error === signal.reason)) return EXIT.cancelled;
  const known = toUserError(error);
  if (known !== undefined) {
    process.stderr.write(`${renderUserError(known)}\n`);
    return known.exit;
  }
  const report = writeBugReport(error);
  process.stderr.write(`Unexpected error: ${error instanceof Error ? error.message : String(error)}   (ERR_BUG)\n`);
  process.stderr.write(`  This is a mistake in coder. Please report it with the file ${report}\n`);
  return EXIT.bug;
}

/** Ends the process once everything printed has left it. */
export async function exitWith(code: number): Promise<never> {
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise<void>((done) => stream.write("", () => done()))),
  );
  process.exit(code);
}

/** oclif's flags for the help of a command. */
export function helpFlags(specs: readonly FlagSpec[]): Interfaces.FlagInput {
  const flags: Interfaces.FlagInput = {};
  for (const spec of specs) {
    const common = {
      summary: spec.env === undefined ? spec.summary : `${spec.summary} [$${spec.env}]`,
      ...(spec.char === undefined ? {} : { char: spec.char as "h" }),
      ...(spec.hidden === true ? { hidden: true } : {}),
    };
    flags[spec.name] =
      spec.kind === "boolean"
        ? Flags.boolean(common)
        : Flags.string({
            ...common,
            ...(spec.value === undefined ? {} : { helpValue: `<${spec.value}>` }),
            ...(spec.options === undefined ? {} : { options: [...spec.options] }),
            ...(spec.default === undefined ? {} : { default: spec.default }),
          });
  }
  return flags;
}

export function helpArgs(words: typeof BaseCommand.words): Interfaces.ArgInput {
  return Object.fromEntries(
    words.map((word) => [word.name, Args.string({ description: word.summary, required: word.required === true })]),
  );
}

function usageOf(command: typeof BaseCommand, id: string): string {
  const words = command.words.map((word) => (word.required === true ? `<${word.name}>` : `[${word.name}]`));
  return [id.replaceAll(":", " "), ...words, ...(command.takesRest ? ["[command …]"] : [])].join(" ");
}
