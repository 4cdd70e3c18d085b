/** What the manual, completion and help say about a command, read from its definition. Pure. */
import { durationText } from "../flags/values.ts";

export interface FlagText {
  readonly name: string;
  readonly char?: string | undefined;
  readonly env?: string | undefined;
  readonly kind: "boolean" | "string" | "list" | "integer" | "duration";
  readonly options?: readonly string[] | undefined;
  /** As a user would type it. */
  readonly default?: string | undefined;
  readonly summary: string;
  /** The name of its value in help. */
  readonly value?: string | undefined;
  readonly hidden?: boolean | undefined;
}

export interface WordText {
  readonly name: string;
  readonly summary: string;
  readonly required: boolean;
}

export interface CommandTexts {
  readonly summary: string;
  readonly description: string | undefined;
  /** Shell command lines; `<%= config.bin %>` stands for the command's name. */
  readonly examples: readonly string[];
  readonly flags: readonly FlagText[];
  readonly words: readonly WordText[];
  /** Further words belong to the command, such as a remote command line. */
  readonly takesRest: boolean;
}

/** The fields of oclif's definitions that are read. */
export interface DefinedFlag {
  readonly type: "boolean" | "option";
  readonly char?: string | undefined;
  readonly env?: string | undefined;
  readonly kind?: unknown;
  readonly multiple?: boolean | undefined;
  readonly options?: readonly string[] | undefined;
  readonly default?: unknown;
  readonly summary?: string | undefined;
  readonly helpValue?: string | string[] | undefined;
  readonly hidden?: boolean | undefined;
}

export interface DefinedCommand {
  readonly summary?: string | undefined;
  readonly description?: string | undefined;
  readonly examples?: readonly unknown[] | undefined;
  readonly flags?: Readonly<Record<string, DefinedFlag>> | undefined;
  readonly args?: Readonly<Record<string, { readonly description?: string; readonly required?: boolean }>> | undefined;
  readonly strict: boolean;
}

export function textsOf(command: DefinedCommand): CommandTexts {
  return {
    summary: command.summary ?? "",
    description: command.description,
    examples: (command.examples ?? []).map(String),
    flags: flagTexts(command.flags ?? {}),
    words: Object.entries(command.args ?? {}).map(([name, { description = "", required }]) => ({
      name,
      summary: description,
      required: required === true,
    })),
    takesRest: !command.strict,
  };
}

export function flagTexts(flags: Readonly<Record<string, DefinedFlag>>): FlagText[] {
  return Object.entries(flags).map(([name, flag]) => ({
    name,
    char: flag.char,
    env: flag.env,
    kind: kindOf(flag),
    options: flag.options,
    default: defaultText(flag),
    summary: flag.summary ?? "",
    value: typeof flag.helpValue === "string" ? flag.helpValue.slice(1, -1) : undefined,
    hidden: flag.hidden,
  }));
}

function kindOf(flag: DefinedFlag): FlagText["kind"] {
  if (flag.type === "boolean") return "boolean";
  if (flag.multiple === true) return "list";
  return flag.kind === "integer" || flag.kind === "duration" ? flag.kind : "string";
}

function defaultText(flag: DefinedFlag): string | undefined {
  if (flag.default === undefined) return undefined;
  return flag.kind === "duration" ? durationText(Number(flag.default)) : String(flag.default);
}

/** The usage line: `ssh [flags] <workspace> [command …]`. */
export function usageOf(command: Pick<CommandTexts, "words" | "takesRest">, id: string): string {
  const words = command.words.map(({ name, required }) => (required ? `<${name}>` : `[${name}]`));
  return [id.replaceAll(":", " "), "[flags]", ...words, ...(command.takesRest ? ["[command …]"] : [])].join(" ");
}
