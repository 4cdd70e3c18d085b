import { nearest } from "../suggest.ts";
import {
  type FlagOrigin,
  type FlagSpec,
  type FlagValue,
  type FlagValues,
  parseFlagValue,
  splitList,
  UsageError,
} from "./spec.ts";

export interface ParsedLine {
  readonly values: FlagValues;
  readonly origins: Readonly<Record<string, FlagOrigin>>;
  /** Positional arguments in order. */
  readonly words: readonly string[];
}

export interface ParseOptions {
  /** After this many positional words the rest of the line is words, whatever it looks like: a remote command. */
  readonly wordsBeforeRest?: number;
}

/**
 * Parses a command line by a table of flags. `--` ends the flags. Precedence: flag, environment, default.
 * Throws UsageError. It costs no start-up time.
 */
export function parseLine(
  specs: readonly FlagSpec[],
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  options: ParseOptions = {},
): ParsedLine {
  const values: Record<string, FlagValue> = {};
  const origins: Record<string, FlagOrigin> = {};
  const words: string[] = [];
  const given = readArguments(specs, argv, options.wordsBeforeRest ?? Number.POSITIVE_INFINITY, words);
  for (const spec of specs) {
    const texts = given.get(spec.name);
    const variable = spec.env === undefined ? undefined : environment[spec.env];
    if (texts !== undefined) {
      values[spec.name] = flagValueOf(spec, texts, `--${spec.name}`);
      origins[spec.name] = "flag";
    } else if (variable !== undefined && (variable !== "" || spec.emptyCounts === true)) {
      const items = spec.kind === "list" ? splitList(variable) : [variable];
      values[spec.name] = flagValueOf(spec, items, spec.env!);
      origins[spec.name] = "environment";
    } else if (spec.default !== undefined) {
      values[spec.name] = flagValueOf(spec, [spec.default], `--${spec.name}`);
      origins[spec.name] = "default";
    } else {
      origins[spec.name] = "unset";
    }
  }
  return { values, origins, words };
}

function flagValueOf(spec: FlagSpec, texts: readonly string[], from: string): FlagValue {
  if (spec.kind === "list") return texts.map((text) => parseFlagValue(spec, text, from) as string);
  return parseFlagValue(spec, texts[texts.length - 1]!, from);
}

function readArguments(
  specs: readonly FlagSpec[],
  argv: readonly string[],
  wordsBeforeRest: number,
  words: string[],
): Map<string, string[]> {
  const given = new Map<string, string[]>();
  const note = (spec: FlagSpec, text: string): void => {
    const texts = given.get(spec.name);
    if (texts === undefined) given.set(spec.name, [text]);
    else texts.push(text);
  };
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (words.length > wordsBeforeRest || word === "--") {
      words.push(...argv.slice(word === "--" && words.length <= wordsBeforeRest ? i + 1 : i));
      break;
    }
    if (word === "-" || !word.startsWith("-")) {
      words.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const head = equals < 0 ? word : word.slice(0, equals);
    let inline = equals < 0 ? undefined : word.slice(equals + 1);
    let spec: FlagSpec | undefined;
    if (word.startsWith("--")) {
      spec = specs.find((candidate) => `--${candidate.name}` === head);
      if (spec === undefined && head.startsWith("--no-")) {
        const negated = specs.find((candidate) => candidate.kind === "boolean" && `--no-${candidate.name}` === head);
        if (negated !== undefined) {
          note(negated, "false");
          continue;
        }
      }
    } else {
      spec = specs.find((candidate) => candidate.char === word[1]);
      inline = undefined;
      if (spec?.kind === "boolean" && word.length > 2) {
        note(spec, "true");
        i--; // read the rest of a group such as -vA as flags of their own
        argv = [...argv.slice(0, i + 1), `-${word.slice(2)}`, ...argv.slice(i + 2)];
        continue;
      }
      if (word.length > 2) inline = word[2] === "=" ? word.slice(3) : word.slice(2);
    }
    if (spec === undefined) throw unknownFlag(head, specs);
    if (spec.kind === "boolean") note(spec, inline ?? "true");
    else if (inline !== undefined) note(spec, inline);
    else {
      const value = argv[++i];
      if (value === undefined) throw new UsageError(`--${spec.name} needs a value`);
      note(spec, value);
    }
  }
  return given;
}

function unknownFlag(head: string, specs: readonly FlagSpec[]): UsageError {
  const names = specs.filter(({ hidden }) => hidden !== true).map(({ name }) => name);
  const meant = head.startsWith("--") ? nearest(head.slice(2), names) : undefined;
  return new UsageError(`unknown flag ${head}${meant === undefined ? "" : `; did you mean --${meant}?`}`);
}
