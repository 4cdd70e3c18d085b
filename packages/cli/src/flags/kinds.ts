/**
 * The kinds of flags and arguments: oclif definitions whose types know the type of the value. `read` and `takes` are for {@link
 * shapeLine}, which refuses a value before oclif sees it, and for the lean start, which has no oclif parser.
 */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import type { Arg, BooleanFlag, OptionFlag } from "@oclif/core/interfaces";
import { readDuration, readInteger } from "./values.ts";

type Letter = NonNullable<OptionFlag<string>["char"]>;

interface CommonOptions {
  readonly char?: Letter;
  /** Variable that gives the value when the flag is absent. */
  readonly env?: string;
  /** One line, shown by --help. */
  readonly summary: string;
  readonly hidden?: boolean;
  /** An empty variable switches the flag off. Without this field, an empty variable counts as unset. */
  readonly emptyCounts?: boolean | undefined;
}

interface ValueOptions<T> extends CommonOptions {
  /** The name of the value in help, in angle brackets. */
  readonly helpValue?: string;
  readonly default?: T;
}

interface ToggleOptions extends CommonOptions {
  readonly default?: boolean;
}

interface ChoiceOptions<V extends string> extends ValueOptions<V> {
  readonly options: readonly V[];
}

export interface ValueFlag<T> extends OptionFlag<T> {
  /** An empty value counts as not given. */
  readonly emptyIsUnset?: boolean;
  readonly emptyCounts?: boolean;
  readonly kind?: "integer" | "duration";
  /** Describes in words what `read` accepts. */
  readonly takes?: string;
  /** Returns undefined when the text is not a value of this flag. */
  readonly read?: (text: string) => unknown;
}

export interface ToggleFlag extends BooleanFlag<boolean> {
  readonly emptyCounts?: boolean;
}

export interface Word<T> extends Arg<T> {
  readonly type: "option";
}

/** oclif keeps unknown fields of a definition, but its types do not allow them. */
const own = (fields: object) => fields as { readonly multiple?: false };

/** A flag with a default always has a value. */
type Given<O, T> = O extends { readonly default: unknown } ? T : T | undefined;
type Kind<T> = <const O extends ValueOptions<T>>(options: O) => ValueFlag<Given<O, T>>;

/** A text. An empty one counts as not given. */
export const text = Flags.custom(own({ emptyIsUnset: true })) as unknown as Kind<string>;

/** A text that may be empty. */
export const exactText = Flags.custom() as unknown as Kind<string>;

/** A list of texts, one for each time the flag is given; in a variable they are separated by commas or line breaks. */
export const list = Flags.custom({ multiple: true, multipleNonGreedy: true }) as unknown as (
  options: Omit<ValueOptions<string>, "default">,
) => ValueFlag<string[] | undefined>;

export const integer = Flags.custom(
  own({
    kind: "integer",
    takes: "a whole number",
    read: readInteger,
    parse: async (value: string) => readInteger(value),
  }),
) as unknown as Kind<number>;

/** In milliseconds. */
export const duration = Flags.custom(
  own({
    kind: "duration",
    takes: "a duration such as 500ms, 5s, 10m or 1h30m",
    read: readDuration,
    parse: async (value: string) => readDuration(value),
  }),
) as unknown as Kind<number>;

/** One of the listed options. */
export const choice = Flags.custom() as unknown as <
  const V extends string,
  const O extends Omit<ChoiceOptions<V>, "options">,
>(
  options: O & { readonly options: readonly V[] },
) => ValueFlag<Given<O, V>>;

export const toggle = Flags.boolean as (options: ToggleOptions) => ToggleFlag;

interface WordOptions {
  readonly required?: boolean;
  readonly description: string;
}

/** A positional word. Without `ignoreStdin`, oclif would read a missing one from standard input, which belongs to the command. */
export const word = Args.custom<string>({ ignoreStdin: true }) as unknown as <const O extends WordOptions>(
  options: O,
) => Word<O extends { readonly required: true } ? string : string | undefined>;

/** The type of the values of these definitions. */
export type FlagValues<T> = {
  readonly [K in keyof T]: T[K] extends ToggleFlag ? boolean : T[K] extends ValueFlag<infer V> ? V : never;
};

export type WordValues<T> = { readonly [K in keyof T]: T[K] extends Word<infer V> ? V : never };
