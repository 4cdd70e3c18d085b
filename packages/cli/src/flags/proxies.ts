/** Flags and words of the commands for workspace proxies. */
import { text, toggle, word } from "./kinds.ts";
import { TEXT_OUTPUT_FLAG } from "./output.ts";

export const PROXY_WORD = { proxy: word({ required: true, description: "Name or id of the workspace proxy" }) };

export const PROXY_TEXT_FLAGS = {
  "display-name": text({ helpValue: "<name>", summary: "Display name, also that of its region" }),
  icon: text({ helpValue: "<url>", summary: "Address of its icon" }),
};

/** Flags of commands that make a token. */
export const PROXY_TOKEN_FLAGS = {
  "only-token": toggle({ summary: "Print the token and nothing else, for scripts" }),
  output: TEXT_OUTPUT_FLAG,
};
