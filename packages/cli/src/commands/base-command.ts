/**
 * The base of every command: common flags, one way to read the command line, and one place that turns failures into words and
 * exit codes.
 */

import type { Interfaces } from "@oclif/core";
import { Command } from "@oclif/core/command";
import type { Config } from "@oclif/core/config";
import type { Deployment } from "coder-client/rest/deployment";
import { reportFailure } from "../errors/report.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import { deploymentOptions, GLOBAL_FLAGS, type GlobalValues, HELP_FLAG } from "../flags/global.ts";
import type { FlagValues, WordValues } from "../flags/kinds.ts";
import { type LineFlags, type Origins, oclifArgv, oclifFlags, type ShapedLine, shapeLine } from "../flags/line.ts";
import { textsOf, usageOf } from "../help/command-texts.ts";
import { type Display, processDisplay } from "../ui/display.ts";
import { Ending, type EndingOptions } from "../ui/ending.ts";

type FlagsOf<T extends typeof Command> = FlagValues<typeof GLOBAL_FLAGS & T["flags"]>;
type ArgsOf<T extends typeof Command> = WordValues<T["args"]>;

export abstract class BaseCommand<T extends typeof Command> extends Command {
  static override baseFlags = GLOBAL_FLAGS;
  static override summary = "";
  static override examples: string[] = [];
  static override flags = {};
  static override args = {};

  /** A service runs until it is stopped: a requested termination is a success and may take time. */
  static isService = false;
  /** Whether SIGHUP makes the command read its files again instead of ending it. */
  static reloads = false;

  /** Typed by the definitions: a name that none of them has does not compile. */
  protected flags!: FlagsOf<T>;
  protected args!: ArgsOf<T>;
  /** The standard streams, as the flags set them up. */
  protected display!: Display;
  /** All positional words in their order; with `strict = false` those of the remote command as well. */
  protected words: readonly string[] = [];
  /** Where each value comes from: the command line, the environment or a file. */
  protected origins: Origins = {};
  readonly #ending: Ending;

  constructor(argv: string[], config: Config) {
    super(argv, config);
    const { isService, reloads } = new.target as unknown as typeof BaseCommand;
    this.#ending = new Ending({ service: isService, reloads } satisfies EndingOptions);
  }

  /** Does the work. Returns the exit code, or undefined for 0. */
  protected abstract execute(signal: AbortSignal): Promise<number | undefined>;

  /** Replaces oclif's own method, which would load the configuration a second time. */
  static override async run<C extends Command>(
    this: new (
      argv: string[],
      config: Config,
    ) => C,
    argv: string[] = [],
    config?: Interfaces.LoadOptions,
  ): Promise<ReturnType<C["run"]>> {
    return new this(argv, config as Config).run() as Promise<ReturnType<C["run"]>>;
  }

  /** The deployment that the flags name, with its login. */
  protected async openDeployment(): Promise<Deployment> {
    const { openDeployment } = await import("../rest/deployment.ts");
    return openDeployment(deploymentOptions(this.flags as GlobalValues));
  }

  /** Asks a yes/no question, whose default is yes. */
  protected async confirm(question: string, signal: AbortSignal): Promise<boolean> {
    const { confirm } = await import("../ui/prompt.ts");
    return confirm(this.display.ask, question, signal);
  }

  /** Runs the command and ends the process. */
  override async run(): Promise<never> {
    let exit: number;
    try {
      exit = await this.#run();
    } catch (error) {
      exit = reportFailure(error, this.#ending.signal);
    }
    return this.#ending.end(exit);
  }

  async #run(): Promise<number> {
    const { flags, args, strict } = this.ctor;
    const definitions = { ...flags, ...GLOBAL_FLAGS, ...HELP_FLAG } as unknown as LineFlags;
    const rest = strict ? Number.POSITIVE_INFINITY : Object.keys(args).length;
    const line = shapeLine(definitions, this.argv, process.env, rest);
    if (line.given["help"] === true) {
      const { renderHelp } = await import("../help/render.ts");
      process.stdout.write(await renderHelp(this.config, this.ctor.id.split(":")));
      return EXIT.ok;
    }
    if (line.given["debug-options"] !== true) this.#checkWords(line);
    const parsed = await this.parse(
      { flags: oclifFlags(definitions) as unknown as Interfaces.FlagInput, args: optional(args), strict: false },
      oclifArgv(line),
    );
    if (line.given["debug-options"] === true) {
      const { optionTable } = await import("../help/option-table.ts");
      process.stdout.write(optionTable(definitions, parsed.flags, line.origins));
      return EXIT.ok;
    }
    this.flags = parsed.flags as FlagsOf<T>;
    this.args = parsed.args as ArgsOf<T>;
    this.words = line.words;
    this.origins = line.origins;
    const { "force-tty": forceTty, "no-color": noColor } = this.flags as GlobalValues;
    this.display = await processDisplay({ forceTty, noColor });
    return (await this.execute(this.#ending.signal)) ?? EXIT.ok;
  }

  #checkWords({ words }: ShapedLine): void {
    const command = textsOf(this.ctor as unknown as Parameters<typeof textsOf>[0]);
    const refuse = (message: string): UserError =>
      new UserError(message, {
        why: `usage: coder ${usageOf(command, this.ctor.id)}`,
        code: "ERR_USAGE",
        exit: EXIT.usage,
      });
    const missing = command.words[words.length];
    if (missing?.required === true) throw refuse(`"${missing.name}" is missing`);
    if (!command.takesRest && words.length > command.words.length)
      throw refuse(`unexpected word "${words[command.words.length]}"`);
  }
}

/** Missing words have already been refused, with the usage, so oclif may take any number. */
function optional(args: Interfaces.ArgInput): Interfaces.ArgInput {
  return Object.fromEntries(Object.entries(args).map(([name, arg]) => [name, { ...arg, required: false }]));
}
