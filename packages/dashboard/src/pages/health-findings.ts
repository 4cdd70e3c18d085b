/** Findings of the health report, each with its code apart from its text. */
import type { HealthMessage } from "coder-protocol/rest/deployment";

export interface Finding {
  /** "" for none. */
  readonly code: string;
  readonly message: string;
  readonly isError: boolean;
}

interface Findings {
  readonly error?: string | undefined;
  readonly warnings: readonly HealthMessage[];
}

/** What one section found: its error first, and nothing twice. */
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

/** Errors state their code before the text; some warnings state it there as well. */
function split(code: string, text: string): Pick<Finding, "code" | "message"> {
  const [, stated = "", message = text] = /^([A-Z]+\d+): (.*)$/s.exec(text) ?? [];
  return code === "" || stated === code ? { code: stated, message } : { code, message: text };
}
