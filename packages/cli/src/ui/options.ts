import type { ParsedLine } from "../flags/parse.ts";
import type { FlagSpec } from "../flags/spec.ts";
import { renderTable } from "./table.ts";

const SECRET = /token|header|password/;

/** `--debug-options`: every option, its value and where it came from. Secrets are masked. */
export function optionTable(specs: readonly FlagSpec[], line: ParsedLine): string {
  return renderTable(
    ["OPTION", "VALUE", "FROM"],
    specs
      .filter((spec) => spec.name !== "help" && spec.name !== "debug-options")
      .map((spec) => {
        const value = line.values[spec.name];
        const text = value === undefined ? "" : Array.isArray(value) ? value.join(", ") : String(value);
        const origin = line.origins[spec.name] ?? "unset";
        return [
          `--${spec.name}`,
          text !== "" && SECRET.test(spec.name) ? "(set)" : text,
          origin === "environment" ? `$${spec.env}` : origin,
        ];
      }),
  );
}
