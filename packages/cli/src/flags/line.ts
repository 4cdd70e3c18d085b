/**
 * Turns a command line into one that oclif's parser reads without surprises. It knows which flags take values, where the remote
 * command begins, that the last of several values counts, and what variables set. Pure; the lean start uses it as well.
 */

import { splitList } from "../base/split-list.ts";
import { nearest } from "../base/suggest.ts";
import { UsageError } from "../errors/usage-error.ts";
import { readBoolean } from "./values.ts";

/** The fields of oclif's flag definition that are read here. */
export interface LineFlag {
  readonly type: "boolean" | "option";
  readonly char?: string | undefined;
  /** Variable that gives the value when the flag is absent. */
  readonly env?: string | undefined;
  readonly multiple?: boolean | undefined;
  readonly options?: readonly string[] | undefined;
  readonly default?: unknown;
  readonly hidden?: boolean | undefined;
  /** An empty value counts as not given. */
  readonly emptyIsUnset?: boolean | undefined;
  /** An empty variable switches the flag off. Without this field, an empty variable counts as unset. */
  readonly emptyCounts?: boolean | undefined;
  /** The value when the flag is given without one; any other value must follow an `=`. */
  readonly bare?: string | undefined;
  /** Returns undefined when the text is not a value of this flag. */
  readonly read?: ((text: string) => unknown) | undefined;
  /** Describes in words what `read` accepts. */
  readonly takes?: string | undefined;
}

export type LineFlags = Readonly<Record<string, LineFlag>>;

/** Where a value came from, for --debug-options. */
export type Origin = "flag" | "environment" | "default" | "unset";
export type Origins = Readonly<Record<string, Origin>>;

export interface ShapedLine {
  /** Checked values by the name of the flag: texts as typed, switches as booleans. Without defaults. */
  readonly given: Readonly<Record<string, boolean | string | readonly string[]>>;
  readonly origins: Origins;
  /** Positional words in order, the remote command included. */
  readonly words: readonly string[];
}

/**
 * `--` ends the flags. Precedence: flag, variable, default. Throws {@link UsageError}.
 * @param wordsBeforeRest After this many words everything is a word, whatever it looks like: the remote command.
 */
export function shapeLine(
  flags: LineFlags,
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  wordsBeforeRest = Number.POSITIVE_INFINITY,
): ShapedLine {
  const { texts, words } = split(flags, argv, wordsBeforeRest);
  const given: Record<string, boolean | string | readonly string[]> = {};
  const origins: Record<string, Origin> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const variable = flag.env === undefined ? undefined : environment[flag.env];
    const typed = texts.get(name);
    const counts = variable !== undefined && (variable !== "" || flag.emptyCounts === true);
    origins[name] = typed ? "flag" : counts ? "environment" : flag.default === undefined ? "unset" : "default";
    const source = typed ?? (counts ? (flag.multiple ? splitList(variable) : [variable]) : undefined);
    if (source === undefined) continue;
    const from = typed ? `--${name}` : flag.env!;
    if (flag.multiple) {
      const items = source.map((text) => checked(flag, text, from) as string);
      if (items.length > 0) given[name] = items;
      continue;
    }
    const value = checked(flag, source.at(-1)!, from);
    if (value !== "" || flag.emptyIsUnset !== true) given[name] = value;
  }
  return { given, origins, words };
}

/** Precedes each value in {@link oclifArgv}, because oclif takes a value that is the name of a flag for that flag. */
const MARK = "=";

/** The line in the form that oclif's parser reads: every flag by its long name, one after another, then the words. */
export function oclifArgv({ given, words }: ShapedLine): string[] {
  const argv: string[] = [];
  for (const [name, value] of Object.entries(given)) {
    const texts = typeof value === "object" ? value : [String(value)];
    for (const text of texts) argv.push(`--${name}`, `${MARK}${text}`);
  }
  return [...argv, "--", ...words];
}

type Parse = (text: string, ...rest: readonly unknown[]) => unknown;

/**
 * The definitions for {@link oclifArgv}: letters and variables are already resolved, and values checked. A switch has a value
 * like other flags, because `--no-tty` would be a separate flag and not the negation of --tty.
 */
export function oclifFlags(flags: LineFlags): LineFlags {
  const bare = ({ char: _, env: __, options: ___, ...flag }: LineFlag): LineFlag & { readonly parse: Parse } => {
    if (flag.type === "boolean")
      return { ...flag, type: "option", default: flag.default ?? false, parse: async (text) => text === `${MARK}true` };
    const { parse } = flag as LineFlag & { readonly parse: Parse };
    return { ...flag, parse: (text, ...rest) => parse(text.slice(MARK.length), ...rest) };
  };
  return Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, bare(flag)]));
}

function checked(flag: LineFlag, text: string, from: string): string | boolean {
  const refused = (takes: string): UsageError => new UsageError(`${from} is "${text}"; it takes ${takes}`);
  if (flag.type === "boolean") {
    const value = readBoolean(text);
    if (value === undefined) throw refused("true or false");
    return value;
  }
  if (flag.options !== undefined && !flag.options.includes(text)) throw refused(`one of: ${flag.options.join(", ")}`);
  if (flag.read !== undefined && flag.read(text) === undefined) throw refused(flag.takes ?? "another value");
  return text;
}

function split(flags: LineFlags, argv: readonly string[], wordsBeforeRest: number) {
  const texts = new Map<string, string[]>();
  const words: string[] = [];
  const note = (name: string, text: string): void => void texts.set(name, [...(texts.get(name) ?? []), text]);
  const left = [...argv];
  while (left.length > 0) {
    if (words.length > wordsBeforeRest || left[0] === "--") {
      words.push(...(words.length > wordsBeforeRest ? left : left.slice(1)));
      break;
    }
    const word = left.shift()!;
    if (word === "-" || !word.startsWith("-")) {
      words.push(word);
      continue;
    }
    const { name, head, inline, negated, others } = flagOf(flags, word);
    if (name === undefined) throw unknownFlag(head, flags);
    if (others !== undefined) left.unshift(others);
    if (flags[name]!.type === "boolean") note(name, negated ? "false" : (inline ?? "true"));
    else {
      const value = inline ?? flags[name]!.bare ?? left.shift();
      if (value === undefined) throw new UsageError(`--${name} needs a value`);
      note(name, value);
    }
  }
  return { texts, words };
}

interface FoundFlag {
  /** Undefined when there is no such flag. */
  readonly name: string | undefined;
  /** The flag as typed, without a value. */
  readonly head: string;
  readonly inline?: string | undefined;
  readonly negated?: boolean;
  /** The rest of a group of short flags such as -vA. */
  readonly others?: string | undefined;
}

function flagOf(flags: LineFlags, word: string): FoundFlag {
  const equals = word.indexOf("=");
  const head = equals < 0 ? word : word.slice(0, equals);
  const inline = equals < 0 ? undefined : word.slice(equals + 1);
  if (word.startsWith("--")) {
    const name = head.slice(2);
    if (Object.hasOwn(flags, name)) return { name, head, inline };
    const positive = name.startsWith("no-") ? name.slice(3) : "";
    const negated = Object.hasOwn(flags, positive) && flags[positive]!.type === "boolean";
    return { name: negated ? positive : undefined, head, negated };
  }
  const name = Object.keys(flags).find((candidate) => flags[candidate]!.char === word[1]);
  if (word.length === 2 || name === undefined) return { name, head };
  if (flags[name]!.type === "boolean") return { name, head, others: `-${word.slice(2)}` };
  return { name, head, inline: word[2] === "=" ? word.slice(3) : word.slice(2) };
}

function unknownFlag(head: string, flags: LineFlags): UsageError {
  const names = Object.keys(flags).filter((name) => flags[name]!.hidden !== true);
  const meant = head.startsWith("--") ? nearest(head.slice(2), names) : undefined;
  return new UsageError(`unknown flag ${head}${meant === undefined ? "" : `; did you mean --${meant}?`}`);
}
