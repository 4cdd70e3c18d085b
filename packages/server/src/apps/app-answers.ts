/** Answers that the server itself gives on app hosts. */
import type { Asked } from "./app-gate.ts";
import { siblingHeaders } from "./cross-origin.ts";
import { LOGIN_HEADER } from "./names.ts";
import type { AppAnswer } from "./pages.ts";

/** Makes the answer readable to a page whose requests may use the visitor's session. */
export function readable({ facts, rule }: Asked, answer: AppAnswer): AppAnswer {
  if (rule.relation !== "sibling" || facts.headers.origin === undefined) return answer;
  return { ...answer, headers: { ...answer.headers, ...siblingHeaders(facts.headers.origin), Vary: "Origin" } };
}

/** The answer to a request that is not a navigation and needs a sign-in. */
export function loginNeeded(asked: Asked): AppAnswer {
  const url = `${asked.origin}/`;
  return readable(asked, {
    status: 401,
    title: "Sign in to this app first",
    text: `Open ${url} in the browser`,
    headers: { [LOGIN_HEADER]: url },
    fields: { url },
  });
}
