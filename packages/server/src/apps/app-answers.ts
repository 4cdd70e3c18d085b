/** Answers of the server's own on app hosts. */
import type { Asked } from "./app-gate.ts";
import { siblingHeaders } from "./cross-origin.ts";
import { LOGIN_HEADER } from "./names.ts";
import type { AppAnswer } from "./pages.ts";

/** Lets a page whose requests may use the visitor's session read an answer of the server's own. */
export function readable({ facts, rule }: Asked, answer: AppAnswer): AppAnswer {
  if (rule.relation !== "sibling" || facts.headers.origin === undefined) return answer;
  return { ...answer, headers: { ...answer.headers, ...siblingHeaders(facts.headers.origin), Vary: "Origin" } };
}

/** To a request that is no navigation. */
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
