/** Help texts, rendered by oclif from the commands' tables. A bundle of its own, loaded when somebody asks for help. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Args, Command, Config, Flags, type Interfaces } from "@oclif/core";
import { loadHelpClass } from "@oclif/core/help";
import type { BaseCommand } from "./base-command.ts";
import type { FlagSpec } from "./flags/spec.ts";

type CommandTexts = Pick<typeof BaseCommand, "summary" | "description" | "examples" | "specs" | "words">;

/** Where oclif looks for the commands: filled by {@link showHelp}. */
export const COMMANDS: Record<string, Command.Class> = {};

/** Prints the help of a command, of a topic, or with no words of everything. */
export async function showHelp(
  commands: Readonly<Record<string, CommandTexts>>,
  words: readonly string[],
): Promise<void> {
  for (const [id, command] of Object.entries(commands)) COMMANDS[id] = oclifClassOf(command);
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  const described = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { oclif: object };
  const target = { strategy: "explicit", target: "./dist/help.cjs", identifier: "COMMANDS" };
  const config = await Config.load({
    root,
    pjson: { ...described, oclif: { ...described.oclif, commands: target } } as unknown as Interfaces.PJSON,
  });
  const Help = await loadHelpClass(config);
  await new Help(config).showHelp([...words]);
}

function oclifClassOf(command: CommandTexts): Command.Class {
  return class extends Command {
    static override summary = command.summary;
    static override description = command.description;
    static override examples = [...command.examples];
    static override flags = flagsOf(command.specs);
    static override args = argsOf(command.words);
    static override strict = false;
    override async run(): Promise<void> {
      throw new Error("only the help of a command is oclif's");
    }
  };
}

function flagsOf(specs: readonly FlagSpec[]): Interfaces.FlagInput {
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

function argsOf(words: CommandTexts["words"]): Interfaces.ArgInput {
  return Object.fromEntries(
    words.map((word) => [word.name, Args.string({ description: word.summary, required: word.required === true })]),
  );
}
