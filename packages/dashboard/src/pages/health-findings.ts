/** Findings of the health report, with code and text separated. */
import type { HealthMessage } from "coder-protocol/rest/deployment";

export interface Finding {
  /** "" when there is none. */
  readonly code: string;
  readonly message: string;
  readonly isError: boolean;
}

interface Findings {
  readonly error?: string | undefined;
  readonly warnings: readonly HealthMessage[];
}

/** The findings of one section without duplicates, its error first. */
export function findingsOfSection({ error, warnings }: Findings): Finding[] {
  const found = [
    ...(error === undefined ? [] : [{ ...split("", error), isError: true }]),
    ...warnings.map(({ code, message }) => ({ ...split(code, message), isError: false })),
  ];
  return found.filter(
    ({ code, message }, index) =>
      found.findIndex((other) => other.code === code && other.message === message) === index,
  );
}

/** Errors repeat their code before the text, and so do some warnings. */
function split(code: string, text: string): Pick<Finding, "code" | "message"> {
  const [, stated = "", message = text] = /^([A-Z]+\d+): (.*)$/s.exec(text) ?? [];
  return code === "" || stated === code ? { code: stated, message } : { code, message: text };
}
