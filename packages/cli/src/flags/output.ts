import { choice, list, toggle } from "./kinds.ts";

/** `--output table|json`. */
export const OUTPUT_FLAG = {
  output: choice({
    char: "o",
    options: ["table", "json"],
    default: "table",
    summary: "Print a table or JSON",
  }),
};

/** `--output text|json`. */
export const TEXT_OUTPUT_FLAG = choice({
  char: "o",
  options: ["text", "json"],
  default: "text",
  summary: "Print text or JSON",
});

/** `--column a,b`. */
export const COLUMN_FLAG = {
  column: list({ char: "c", helpValue: "<name>", summary: "Columns of the table; may be given several times" }),
};

/** Flags of every listing command. */
export const LISTING_FLAGS = { ...OUTPUT_FLAG, ...COLUMN_FLAG };

export const YES_FLAG = {
  yes: toggle({ char: "y", summary: "Skip confirmation prompts" }),
};
