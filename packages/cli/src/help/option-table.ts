import type { LineFlags, Origins } from "../flags/line.ts";
import { renderTable } from "../ui/table.ts";

const SECRET = /token|header|password/;
const UNLISTED = ["help", "debug-options"];

/** The output of `--debug-options`: every option, its value and where it came from. Secrets are masked. */
export function optionTable(flags: LineFlags, values: Readonly<Record<string, unknown>>, origins: Origins): string {
  return renderTable(
    ["OPTION", "VALUE", "FROM"],
    Object.entries(flags)
      .filter(([name]) => !UNLISTED.includes(name))
      .map(([name, { env }]) => {
        const value = values[name];
        const origin = origins[name] ?? "unset";
        const unset = value === undefined || origin === "unset";
        const text = unset ? "" : Array.isArray(value) ? value.join(", ") : String(value);
        return [
          `--${name}`,
          text !== "" && SECRET.test(name) ? "(set)" : text,
          origin === "environment" ? `$${env}` : origin,
        ];
      }),
  );
}
