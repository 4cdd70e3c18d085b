/** An owner's settings for a program, other than who may use it, as the columns store them. */
import type { AppChoiceColumns } from "./schema.ts";

export interface AppChoices {
  readonly cors: "simple" | "passthru";
  readonly corsOrigins: readonly string[];
  /** Slugs and ports of the same agent that a sign-in opens as well. */
  readonly also: readonly string[];
  readonly identityHeaders: boolean;
}

export const NO_CHOICES: AppChoices = { cors: "simple", corsOrigins: [], also: [], identityHeaders: false };

export function choicesOf(row: AppChoiceColumns): AppChoices {
  return {
    cors: row.cors,
    corsOrigins: words(row.cors_origins),
    also: words(row.also),
    identityHeaders: row.identity_headers === 1,
  };
}

/** As requests and answers of the API contain them. */
export interface AppChoiceFields {
  readonly cors: "simple" | "passthru";
  readonly cors_origins: string[];
  readonly also: string[];
  readonly identity_headers: boolean;
}

export function choiceColumns(fields: AppChoiceFields): AppChoiceColumns {
  return {
    cors: fields.cors,
    cors_origins: fields.cors_origins.join(" "),
    also: fields.also.join(" "),
    identity_headers: fields.identity_headers ? 1 : 0,
  };
}

export function choiceFields(row: AppChoiceColumns): AppChoiceFields {
  const { cors, corsOrigins, also, identityHeaders } = choicesOf(row);
  return { cors, cors_origins: [...corsOrigins], also: [...also], identity_headers: identityHeaders };
}

function words(text: string): string[] {
  return text === "" ? [] : text.split(" ");
}
