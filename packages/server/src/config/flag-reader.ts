import { ServerError } from "../base/errors.ts";
import type { ListenAddress } from "../base/listen-address.ts";
import { parseDuration } from "./durations.ts";
import type { ServerFlag, ServerFlagType, ServerFlagValues } from "./flags.ts";
import { parseSize } from "./sizes.ts";

/** Reads typed values of settings; a setting that is not given has the table's default. */
export class FlagReader {
  readonly #table: readonly ServerFlag[];
  readonly #values: ServerFlagValues;

  /** Throws ServerError ERR_CONFIG for a value that the table does not name. */
  constructor(table: readonly ServerFlag[], values: ServerFlagValues) {
    this.#table = table;
    this.#values = values;
    for (const name of Object.keys(values))
      if (!table.some((flag) => flag.name === name)) throw this.invalid(name, "is not a setting of the server");
  }

  /** The error for a value that cannot be used. */
  invalid(name: string, problem: string): ServerError {
    return this.#error("change", name, problem);
  }

  /** The error for a required value that is missing. */
  missing(name: string, why: string): ServerError {
    return this.#error("set", name, `is missing: ${why}`);
  }

  text(name: string): string {
    const value = this.#raw(name, "string", "strings", "duration", "integer");
    if (typeof value !== "string") throw this.invalid(name, `must be text, got ${JSON.stringify(value)}`);
    return value.trim();
  }

  boolean(name: string): boolean {
    const value = this.#raw(name, "boolean");
    if (typeof value === "boolean") return value;
    const text = String(value).toLowerCase();
    if (text === "true" || text === "1" || text === "yes") return true;
    if (text === "false" || text === "0" || text === "no") return false;
    throw this.invalid(name, `must be true or false, got "${String(value)}"`);
  }

  /** Whether the user gave a value, for defaults that depend on other settings. */
  isGiven(name: string): boolean {
    return this.#values[name] !== undefined;
  }

  integer(name: string, min: number, max: number): number {
    const value = this.#raw(name, "integer");
    const number = typeof value === "number" ? value : /^\d+$/.test(String(value)) ? Number(value) : Number.NaN;
    if (!Number.isInteger(number) || number < min || number > max) {
      throw this.invalid(name, `must be a whole number from ${min} to ${max}, got "${String(value)}"`);
    }
    return number;
  }

  /** Positive. */
  duration(name: string): number {
    const value = this.#raw(name, "duration");
    const ms = typeof value === "string" ? parseDuration(value) : undefined;
    if (ms === undefined || ms <= 0)
      throw this.invalid(name, `must be a duration such as 24h or 30m, got "${String(value)}"`);
    return ms;
  }

  /** In bytes. */
  size(name: string): number {
    const text = this.text(name);
    const bytes = parseSize(text);
    if (bytes === undefined) throw this.invalid(name, `must be a size such as 500MB, 1GiB or 0, got "${text}"`);
    return bytes;
  }

  /** Entries separated by commas, or a list; empty entries are dropped. */
  list(name: string): string[] {
    const value = this.#raw(name, "strings");
    const parts = Array.isArray(value) ? value.flatMap((part) => String(part).split(",")) : String(value).split(",");
    return parts.map((part) => part.trim()).filter((part) => part !== "");
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const value = this.text(name);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.invalid(name, `must be one of ${choices.join(", ")}, got "${value}"`);
    return found;
  }

  url(name: string): URL | undefined {
    const value = this.text(name);
    if (value === "") return undefined;
    if (!URL.canParse(value))
      throw this.invalid(name, `must be a URL such as https://coder.example.com, got "${value}"`);
    const url = new URL(value);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw this.invalid(name, `must begin with http:// or https://, got "${value}"`);
    }
    if (url.username !== "" || url.password !== "") throw this.invalid(name, "must not hold a user name or a password");
    return url;
  }

  listenAddress(name: string): ListenAddress {
    const value = this.text(name);
    const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:[\]]*)):(\d{1,5})$/.exec(value);
    const port = Number(match?.[3]);
    if (match === null || port > 65_535)
      throw this.invalid(name, `must be host:port such as 127.0.0.1:3000, got "${value}"`);
    return { host: match[1] ?? match[2] ?? "", port };
  }

  #error(step: "change" | "set", name: string, problem: string): ServerError {
    const flag = this.#table.find((candidate) => candidate.name === name);
    return new ServerError("ERR_CONFIG", `--${name} ${problem}`, {
      nextSteps: flag === undefined ? [] : [`${step} --${name} or ${flag.env}`],
    });
  }

  #raw(name: string, ...types: readonly ServerFlagType[]): string | boolean | number | readonly string[] {
    const flag = this.#table.find((candidate) => candidate.name === name);
    if (flag === undefined || !types.includes(flag.type))
      throw new TypeError(`the table has no ${types[0]} flag ${name}`);
    return this.#values[name] ?? flag.default;
  }
}
